//! Bare POSTs: reqwest, keep-alive, so many in flight, and nothing else.

use std::cell::Cell;
use std::time::Instant;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use tokio::sync::oneshot;
use url::Url;

use super::Load;

/// POSTs a second.
pub(super) async fn post(load: &Load, url: &Url) -> anyhow::Result<f64> {
    let (load, url) = (load.clone(), url.clone());
    let (done, result) = oneshot::channel();
    std::thread::Builder::new().name("bench-bare".to_owned()).spawn(move || {
        let _nobody_may_wait = done.send(post_all(&load, &url));
    })?;
    result.await?
}

fn post_all(load: &Load, url: &Url) -> anyhow::Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = client()?;
        let (body, left) = (super::event("bench", 0, load.bytes), Cell::new(load.events));
        let one_after_another = || async {
            while let Some(rest) = left.get().checked_sub(1) {
                left.set(rest);
                let request =
                    client.post(url.clone()).header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                request.body(body.clone()).send().await?.error_for_status()?.bytes().await?;
            }
            anyhow::Ok(())
        };
        let began = Instant::now();
        let all = (0..load.concurrency).map(|_| one_after_another());
        futures_util::future::try_join_all(all).await?;
        Ok(f64::from(load.events) / began.elapsed().as_secs_f64())
    })
}

/// A client as it comes.
pub(super) fn client() -> anyhow::Result<reqwest::Client> {
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    #[expect(clippy::disallowed_methods, reason = "what is compared with is a client as it comes")]
    Ok(reqwest::Client::builder().no_proxy().build()?)
}
