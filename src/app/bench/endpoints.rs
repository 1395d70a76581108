//! Receivers that are healthy, hang, are slow or refuse connections, on a thread of their own.
//!
//! Each has an address of its own in 127.1.0.0/16, as webhooks of different people lead to different hosts: what is bounded
//! by host must not join the healthy to the bad. A healthy one notes when it has read a request whole, and answers then.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use url::Url;

use super::receiver::{ANSWER, BUFFER_BYTES, request_length};

/// What the addresses of all have in common, for the address guard.
pub(super) const NETWORK: &str = "127.1.0.0/16";
/// Addresses that differ in the last of their numbers only.
const ADDRESSES_PER_BLOCK: usize = 250;

/// How a receiver behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Answers 200 at once.
    Healthy,
    /// Reads requests and never answers.
    Hangs,
    /// Answers 200 after so long.
    Slow(Duration),
    /// Nobody listens there.
    Refuses,
}

/// The receivers, until they are dropped.
pub(super) struct Endpoints {
    urls: Vec<Url>,
    _stop: oneshot::Sender<()>,
}

impl Endpoints {
    /// Starts a receiver for each of `manners`; what they answer is noted in `arrivals`.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub(super) fn start(manners: &[Manner], arrivals: &Arc<Arrivals>) -> anyhow::Result<Self> {
        let (mut urls, mut listening) = (Vec::new(), Vec::new());
        for (number, manner) in manners.iter().enumerate() {
            let address = address(number)?;
            let socket = std::net::TcpListener::bind((address, 0)).with_context(|| {
                format!("{address} cannot be listened on: each receiver has a loopback address of its own, as Linux has them")
            })?;
            urls.push(Url::parse(&format!("http://{}/hook{number}", socket.local_addr()?))?);
            // Dropped, it has had a port that nobody listens on from now on.
            if *manner != Manner::Refuses {
                socket.set_nonblocking(true)?;
                listening.push((socket, *manner));
            }
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let arrivals = Arc::clone(arrivals);
        std::thread::Builder::new().name("bench-receivers".to_owned()).spawn(move || {
            runtime.block_on(async {
                for (socket, manner) in listening {
                    tokio::spawn(accept(socket, manner, Arc::clone(&arrivals)));
                }
                let _dropped = stopped.await;
            });
        })?;
        Ok(Self { urls, _stop: stop })
    }

    /// Where each of them is.
    pub(super) fn urls(&self) -> &[Url] {
        &self.urls
    }
}

fn address(number: usize) -> anyhow::Result<Ipv4Addr> {
    let (block, last) = (number / ADDRESSES_PER_BLOCK, number % ADDRESSES_PER_BLOCK + 1);
    Ok(Ipv4Addr::new(127, 1, u8::try_from(block)?, u8::try_from(last)?))
}

async fn accept(socket: std::net::TcpListener, manner: Manner, arrivals: Arc<Arrivals>) -> std::io::Result<()> {
    let listener = TcpListener::from_std(socket)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(answer(stream, manner, Arc::clone(&arrivals)));
    }
}

async fn answer(mut stream: TcpStream, manner: Manner, arrivals: Arc<Arrivals>) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        while let Some(length) = request_length(&buffer).filter(|length| *length <= buffer.len()) {
            match manner {
                Manner::Healthy => {}
                Manner::Slow(wait) => tokio::time::sleep(wait).await,
                Manner::Hangs | Manner::Refuses => {
                    buffer.clear();
                    break;
                }
            }
            if let Some(number) = event_number(&buffer[..length]) {
                arrivals.note(number);
            }
            buffer.drain(..length);
            stream.write_all(ANSWER).await?;
        }
    }
}

/// The number of the event in a request.
fn event_number(request: &[u8]) -> Option<usize> {
    let before = format!(r#""eventId":"{}"#, super::EVENT_ID);
    let at = request.windows(before.len()).position(|window| window == before.as_bytes())? + before.len();
    let digits = request[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&request[at..at + digits]).ok()?.parse().ok()
}

/// When each event came to the receiver that answered it, and how often.
#[derive(Debug)]
pub(super) struct Arrivals {
    since: Instant,
    events: Vec<Arrival>,
}

#[derive(Debug, Default)]
struct Arrival {
    first_ns: AtomicU64,
    times: AtomicU32,
}

impl Arrivals {
    /// For events 0 to `events`.
    pub(super) fn of(events: usize) -> Arc<Self> {
        Arc::new(Self { since: Instant::now(), events: (0..events).map(|_| Arrival::default()).collect() })
    }

    /// The event `number` has come.
    pub(super) fn note(&self, number: usize) {
        let Some(arrival) = self.events.get(number) else { return };
        if arrival.times.fetch_add(1, Ordering::AcqRel) == 0 {
            let ns = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            arrival.first_ns.store(ns, Ordering::Release);
        }
    }

    /// How often the event `number` came.
    pub(super) fn times(&self, number: usize) -> u32 {
        self.events.get(number).map_or(0, |arrival| arrival.times.load(Ordering::Acquire))
    }

    /// When the event `number` came first.
    pub(super) fn first(&self, number: usize) -> Option<Instant> {
        let arrival = self.events.get(number).filter(|arrival| arrival.times.load(Ordering::Acquire) > 0)?;
        Some(self.since + Duration::from_nanos(arrival.first_ns.load(Ordering::Acquire)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_events_number_is_read_from_its_request() {
        let event = super::super::event("u", 4711, 400);
        let request = [b"POST /hook HTTP/1.1\r\ncontent-length: 400\r\n\r\n".as_slice(), &event].concat();
        assert_eq!(event_number(&request), Some(4711));
        assert_eq!(event_number(b"POST / HTTP/1.1\r\n\r\n{}"), None);
    }

    #[test]
    fn a_thousand_receivers_have_addresses_of_their_own_in_one_network() {
        let addresses: std::collections::HashSet<Ipv4Addr> =
            (0..1000).map(|number| address(number).expect("an address")).collect();
        assert_eq!(addresses.len(), 1000);
        assert!(addresses.iter().all(|address| address.octets()[..2] == [127, 1] && !address.is_broadcast()));
    }
}
