//! A request's body, for whoever reads events of any bytes.

use super::formats;
use crate::model::{Event, Webhook};

/// The body of a request about `event` to `webhook`.
pub fn rendered(event: &Event, webhook: &Webhook) -> Vec<u8> {
    formats::body(event, webhook).slices().concat()
}
