//! A DNS server of the test's own, on loopback by UDP, that answers as a stranger's may: something else each time, many
//! addresses at once, aliases of aliases. And what asks it in place of the system's resolver.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hikyaku::outbound::{Found, Names};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
/// Aliases that are followed.
const ALIASES_MAX: usize = 8;
/// How long an answer may take, on loopback.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);

/// What a name has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Record {
    Address(IpAddr),
    Alias(&'static str),
}

/// For each name what is told at its first look-up, its second, and so on; the last for ever.
pub(crate) type Zone = HashMap<&'static str, Vec<Vec<Record>>>;

/// A running server; it ends when it is dropped. Clones ask it.
#[derive(Clone, Debug)]
pub(crate) struct Dns {
    address: SocketAddr,
    _server: Arc<Server>,
}

#[derive(Debug)]
struct Server(JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An address, as it is told for a name.
pub(crate) fn at(address: &str) -> Record {
    Record::Address(address.parse().expect("an address"))
}

impl Dns {
    pub(crate) async fn start(zone: Zone) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = socket.local_addr().expect("bound");
        let server = Server(tokio::spawn(serve(socket, zone)));
        Self { address, _server: Arc::new(server) }
    }
}

async fn serve(socket: UdpSocket, zone: Zone) {
    let mut asked: HashMap<(String, u16), usize> = HashMap::new();
    let mut query = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut query).await {
        let (name, kind) = question(&query[..length]);
        let before = asked.entry((name.clone(), kind)).or_default();
        let records = zone.get(name.as_str()).map(|turns| turns[(*before).min(turns.len() - 1)].as_slice());
        *before += 1;
        let answer = response(&query[..length], kind, records.unwrap_or_default());
        socket.send_to(&answer, from).await.expect("sent");
    }
}

/// Name and type that a query asks for.
fn question(query: &[u8]) -> (String, u16) {
    let mut labels = Vec::new();
    let mut place = 12;
    while query[place] != 0 {
        let end = place + 1 + usize::from(query[place]);
        labels.push(String::from_utf8_lossy(&query[place + 1..end]).into_owned());
        place = end;
    }
    (labels.join("."), u16::from_be_bytes([query[place + 1], query[place + 2]]))
}

/// Answers `query` with those of `records` that fit `kind`; an alias fits each.
fn response(query: &[u8], kind: u16, records: &[Record]) -> Vec<u8> {
    let data: Vec<(u16, Vec<u8>)> = records
        .iter()
        .filter_map(|record| match record {
            Record::Address(IpAddr::V4(address)) => (kind == A).then(|| (A, address.octets().to_vec())),
            Record::Address(IpAddr::V6(address)) => (kind == AAAA).then(|| (AAAA, address.octets().to_vec())),
            Record::Alias(name) => Some((CNAME, encoded(name))),
        })
        .collect();
    let mut answer = query.to_vec();
    // An answer, recursion done, no error; one question; so many records.
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    answer[6..8].copy_from_slice(&u16::try_from(data.len()).expect("few").to_be_bytes());
    for (kind, data) in data {
        // The name of the question, the type, class IN, 0 s to live.
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 0]);
        answer.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
        answer.extend(data);
    }
    answer
}

fn encoded(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| {
        let length = u8::try_from(label.len()).expect("short");
        std::iter::once(length).chain(label.bytes())
    });
    labels.chain([0]).collect()
}

impl Names for Dns {
    fn look_up(&self, name: String) -> Found {
        let server = self.address;
        Box::pin(async move {
            let mut found = Vec::new();
            for kind in [A, AAAA] {
                found.extend(resolve(server, &name, kind).await?);
            }
            Ok(found)
        })
    }
}

/// The addresses of one kind, through aliases.
async fn resolve(server: SocketAddr, name: &str, kind: u16) -> io::Result<Vec<IpAddr>> {
    let mut name = name.to_owned();
    for _ in 0..ALIASES_MAX {
        let (addresses, alias) = ask(server, &name, kind).await?;
        match alias {
            Some(alias) => name = alias,
            None => return Ok(addresses),
        }
    }
    Err(io::Error::other("aliases without end"))
}

async fn ask(server: SocketAddr, name: &str, kind: u16) -> io::Result<(Vec<IpAddr>, Option<String>)> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect(server).await?;
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(encoded(name));
    query.extend(kind.to_be_bytes());
    query.extend([0, 1]);
    socket.send(&query).await?;
    let mut answer = [0; 512];
    let length = tokio::time::timeout(ANSWER_WAIT_MAX, socket.recv(&mut answer)).await??;
    let (mut addresses, mut alias) = (Vec::new(), None);
    let mut rest = &answer[query.len()..length];
    while let [_, _, kind_high, kind_low, _, _, _, _, _, _, _, size, after @ ..] = rest {
        let (data, next) = after.split_at(usize::from(*size));
        match u16::from_be_bytes([*kind_high, *kind_low]) {
            A => addresses.push(Ipv4Addr::from(<[u8; 4]>::try_from(data).expect("four bytes")).into()),
            AAAA => addresses.push(Ipv6Addr::from(<[u8; 16]>::try_from(data).expect("sixteen bytes")).into()),
            // As if it were a question after a head.
            _ => alias = Some(question(&[&[0; 12], data, &[0, 0]].concat()).0),
        }
        rest = next;
    }
    Ok((addresses, alias))
}
