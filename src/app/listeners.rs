//! Where hikyaku listens: the sockets of the settings, and the routes that are served there.

use std::net::SocketAddr;

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::{Limited, Limits};
use crate::config::Settings;

/// The sockets, bound before anything else is started.
pub(super) struct Listeners {
    main: TcpListener,
    metrics: Option<TcpListener>,
}

impl Listeners {
    pub(super) async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let bind = async |name: &str, address: SocketAddr| {
            TcpListener::bind(address).await.with_context(|| {
                format!("{name} = \"{address}\" cannot be listened on; is another program there? Set another address")
            })
        };
        let main = bind("server.listen", settings.server.listen).await?;
        let metrics = match settings.server.metrics_listen {
            Some(address) => Some(bind("server.metrics_listen", address).await?),
            None => None,
        };
        Ok(Self { main, metrics })
    }

    pub(super) fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        let main = self.main.local_addr()?;
        let metrics = self.metrics.as_ref().map_or(Ok(main), TcpListener::local_addr)?;
        Ok((main, metrics))
    }

    /// Serves `events` on the main address, and `health` there or on its own.
    pub(super) fn serve(self, events: Router, health: Router) -> Serving {
        let (stop, stopped) = watch::channel(false);
        let mut servers = JoinSet::new();
        let mut serve = |listener: TcpListener, router: Router| {
            let mut stopped = stopped.clone();
            let until = async move {
                let _told_or_gone = stopped.wait_for(|stop| *stop).await;
            };
            let routes = watch::Sender::new(router);
            servers.spawn(Limited::new(listener, Limits::default()).serve(routes.subscribe(), until));
            routes
        };
        let (routes, beside, _health) = match self.metrics {
            Some(metrics) => (serve(self.main, events), None, Some(serve(metrics, health))),
            None => (serve(self.main, events.merge(health.clone())), Some(health), None),
        };
        Serving { servers, stop, routes, beside, _health }
    }
}

/// What is served.
pub(super) struct Serving {
    servers: JoinSet<()>,
    stop: watch::Sender<bool>,
    /// On the main address.
    routes: watch::Sender<Router>,
    /// What is on the main address too, whatever the settings say.
    beside: Option<Router>,
    /// What is on an address of its own.
    _health: Option<watch::Sender<Router>>,
}

impl Serving {
    /// Answers the next requests on the main address by `events`.
    pub(super) fn exchange(&self, events: Router) {
        let routes = match &self.beside {
            Some(beside) => events.merge(beside.clone()),
            None => events,
        };
        drop(self.routes.send_replace(routes));
    }

    /// Listens no more, and ends when the requests under way are answered.
    pub(super) async fn stop(&mut self) {
        self.stop.send_replace(true);
        while self.servers.join_next().await.is_some() {}
    }
}
