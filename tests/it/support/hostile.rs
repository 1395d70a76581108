//! A receiver that means harm: it does with each connection what its test says, and speaks HTTP only as far as that goes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Between two pieces of what drips.
const DRIP: Duration = Duration::from_millis(20);
/// Bytes of one write of what floods.
const FLOOD_BYTES: usize = 16 * 1024;

/// What it does with a connection.
#[derive(Clone, Debug)]
pub(crate) enum Harm {
    /// Reads the request's head and nothing of a large body.
    ReadsNoBody,
    /// Sends this once it has the request's head, and holds the connection open.
    Says(Vec<u8>),
    /// Sends this and closes.
    SaysAndCloses(Vec<u8>),
    /// Sends the first, then the second again and again, slowly.
    Drips(Vec<u8>, Vec<u8>),
    /// Sends the first, then the second again and again, as fast as it is taken.
    Floods(Vec<u8>, Vec<u8>),
    /// Closes with a reset as soon as it is connected to.
    Resets,
}

/// A running one; it ends when it is dropped.
pub(crate) struct Hostile {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Hostile {
    pub(crate) async fn start(harm: Harm) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (connections, mut tasks) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
        let count = Arc::clone(&connections);
        tasks.spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let harm = harm.clone();
                serving.spawn(async move {
                    // The worker hangs up sooner or later.
                    let _hung_up = harm.do_to(stream).await;
                });
            }
        });
        Self { address, connections, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// As [`url`](Self::url), and it knows nothing of TLS.
    pub(crate) fn tls_url(&self) -> String {
        format!("https://{}/hook", self.address)
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Harm {
    async fn do_to(self, mut stream: TcpStream) -> io::Result<()> {
        if matches!(self, Self::Resets) {
            return stream.set_zero_linger();
        }
        let mut begun = [0; 16];
        stream.read_exact(&mut begun).await?;
        match self {
            Self::ReadsNoBody => std::future::pending().await,
            Self::Says(bytes) => {
                stream.write_all(&bytes).await?;
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await.map(drop)
            }
            Self::SaysAndCloses(bytes) => stream.write_all(&bytes).await,
            Self::Drips(first, again) => {
                stream.write_all(&first).await?;
                loop {
                    stream.write_all(&again).await?;
                    tokio::time::sleep(DRIP).await;
                }
            }
            Self::Floods(first, again) => {
                let again = again.repeat(FLOOD_BYTES.div_ceil(again.len()));
                stream.write_all(&first).await?;
                loop {
                    stream.write_all(&again).await?;
                }
            }
            Self::Resets => Ok(()),
        }
    }
}

/// One that accepts no connection: its backlog is full. It ends when what comes with it is dropped.
pub(crate) async fn never_accepting() -> (SocketAddr, impl Sized) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
    let listener = socket.listen(1).expect("listening");
    let address = listener.local_addr().expect("bound");
    let mut waiting = Vec::new();
    // Linux takes one or two more than the backlog; from then on connecting hangs.
    while let Ok(connected) = tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(address)).await {
        waiting.push(connected.expect("waiting to be accepted"));
    }
    (address, (listener, waiting))
}
