//! A receiver on loopback that answers by script, well or badly, and remembers every request.
//!
//! Plain TCP with a little HTTP/1.1, so that it can also do what no server library does: stop half-way, drip, never end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hikyaku::clock::SharedClock;
use hikyaku::model::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::patience::soon;

/// Time between two bytes of an answer that drips.
const DRIP: Duration = Duration::from_millis(20);

/// How a request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// With that status and nothing else.
    Status(u16),
    /// With that status and that header.
    With(u16, &'static str, String),
    /// With that status, once [`Receiver::release`] was called.
    Held(u16),
    /// Never; the connection stays open.
    Hang,
    /// Half of the headers, then the connection is closed.
    HalfHeaders,
    /// 200 and half of the body, then the connection is closed.
    HalfBody,
    /// 200 and a body that comes byte by byte and does not end.
    Drip,
    /// 200 and a body that comes as fast as it is taken and does not end.
    Endless,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    /// When it came, by the clock of its test.
    pub(crate) at: Timestamp,
    /// Method, path and version.
    pub(crate) line: String,
    /// Names in lower case, in order.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// Whether a 2xx has gone out for it.
    pub(crate) taken: bool,
}

impl Got {
    /// The header's value; empty when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }
}

type Script = Box<dyn Fn(usize, &Got) -> Answer + Send + Sync>;

/// A running receiver; it ends when it is dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    script: Script,
    clock: SharedClock,
    got: watch::Sender<Vec<Got>>,
    released: watch::Sender<bool>,
}

impl Receiver {
    /// Listens at `address`, and answers each request as `script` says, which is told how many came before.
    pub(crate) async fn start_at(
        address: SocketAddr,
        clock: SharedClock,
        script: impl Fn(usize, &Got) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (got, released) = (watch::Sender::new(Vec::new()), watch::Sender::new(false));
        let shared = Arc::new(Shared { script: Box::new(script), clock, got, released });
        let mut tasks = JoinSet::new();
        let serving = Arc::clone(&shared);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                connections.spawn(async move {
                    // The worker may hang up at any time.
                    let _hung_up = shared.serve(stream).await;
                });
            }
        });
        Self { address, shared, _tasks: tasks }
    }

    /// Where webhooks point.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Every request so far.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.shared.got.borrow().clone()
    }

    /// Requests so far.
    pub(crate) fn count(&self) -> usize {
        self.shared.got.borrow().len()
    }

    /// Waits for `count` requests in all, and tells them.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> impl Future<Output = Vec<Got>> + '_ {
        let mut got = self.shared.got.subscribe();
        let what = format!("{count} requests have come");
        let come = async move { got.wait_for(|got| got.len() >= count).await.expect("the receiver is there").clone() };
        let come = soon("requests have come", come);
        async move {
            let got = come.await;
            assert_eq!(got.len(), count, "{what} and no more");
            got
        }
    }

    /// Lets the answers go that are held, and those that will be.
    pub(crate) fn release(&self) {
        self.shared.released.send_replace(true);
    }
}

impl Shared {
    async fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some(got) = self.read(&mut stream).await? {
            let before = self.got.borrow().len();
            let answer = (self.script)(before, &got);
            let mut index = 0;
            self.got.send_modify(|all| {
                index = all.len();
                all.push(got);
            });
            if !self.answer(&mut stream, answer, index).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn read(&self, stream: &mut BufReader<TcpStream>) -> io::Result<Option<Got>> {
        let Some(line) = read_line(stream).await? else { return Ok(None) };
        let mut headers = Vec::new();
        while let Some(header) = read_line(stream).await?.filter(|header| !header.is_empty()) {
            let (name, value) = header.split_once(": ").unwrap_or((&header, ""));
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut got = Got { at: self.clock.now(), line, headers, body: Vec::new(), taken: false };
        got.body = vec![0; got.header("content-length").parse().expect("a content-length")];
        stream.read_exact(&mut got.body).await?;
        Ok(Some(got))
    }

    /// Answers; `false`: the connection is at its end.
    async fn answer(&self, stream: &mut BufReader<TcpStream>, answer: Answer, index: usize) -> io::Result<bool> {
        const BEGUN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000\r\n\r\n";
        match answer {
            Answer::Status(status) => self.whole(stream, status, "", index).await?,
            Answer::With(status, name, value) => {
                self.whole(stream, status, &format!("{name}: {value}\r\n"), index).await?;
            }
            Answer::Held(status) => {
                let mut released = self.released.subscribe();
                released.wait_for(|released| *released).await.map(drop).expect("the receiver is there");
                self.whole(stream, status, "", index).await?;
            }
            Answer::Hang => {
                // Ends when the worker hangs up.
                let _hung_up = stream.read_u8().await;
                return Ok(false);
            }
            Answer::HalfHeaders => {
                stream.write_all(&BEGUN[..30]).await?;
                return Ok(false);
            }
            Answer::HalfBody => {
                stream.write_all(BEGUN).await?;
                stream.write_all(&[b'x'; 1000]).await?;
                return Ok(false);
            }
            Answer::Drip => {
                stream.write_all(BEGUN).await?;
                loop {
                    stream.write_all(b"x").await?;
                    tokio::time::sleep(DRIP).await;
                }
            }
            Answer::Endless => {
                self.taken(index);
                stream.write_all(BEGUN).await?;
                loop {
                    stream.write_all(&[b'x'; 16 * 1024]).await?;
                }
            }
        }
        Ok(true)
    }

    async fn whole(&self, stream: &mut BufReader<TcpStream>, status: u16, more: &str, index: usize) -> io::Result<()> {
        // Noted first: once the worker has the answer, everyone may look.
        if (200..300).contains(&status) {
            self.taken(index);
        }
        let answer = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: 0\r\n{more}\r\n");
        stream.write_all(answer.as_bytes()).await
    }

    fn taken(&self, index: usize) {
        self.got.send_modify(|all| all[index].taken = true);
    }
}

async fn read_line(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if stream.read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()))
}
