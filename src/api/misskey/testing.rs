//! `.../test`: sends a dummy event of the chosen type to a webhook, whatever its status and types, once.
//!
//! ```json
//! {"webhookId":"..","type":"note","override":{"url":"..","secret":".."},"wait":true}
//! ```
//!
//! The answer is 204 as soon as the request is on its way, as in Misskey. With `wait`, hikyaku's own, it is 200 when it has
//! ended, with what it came to. `reaction` sends nothing, as in Misskey, which has no such event.

use std::sync::Arc;

use super::Management;
use super::caller::Caller;
use super::error::ApiError;
use super::fields;
use super::params::Params;
use super::shape::{Answer, TestedShape};
use super::user::NONE_TO_TEST;
use crate::deliver::Tested;
use crate::model::{Outcome, Webhook};

/// The type that Misskey accepts and never sends.
const NEVER_SENT: &str = "reaction";
/// What a person is told of a forbidden address.
const FORBIDDEN: &str =
    "the host leads to an address that webhooks must not lead to; an admin of hikyaku can see which, and open it";
/// Seconds after which one of the tests under way has ended.
const BUSY_S: u64 = 10;

impl Management {
    pub(super) async fn user_test(&self, caller: &Caller, params: &Params) -> Result<Answer, ApiError> {
        params.check_names()?;
        let webhook = self.user_webhook(caller, &fields::webhook_id(params, "webhookId")?, NONE_TO_TEST)?;
        self.test(caller, params, &webhook).await
    }

    pub(super) async fn system_test(&self, caller: &Caller, params: &Params) -> Result<Answer, ApiError> {
        params.check_names()?;
        let found = self.find_system(&fields::webhook_id(params, "webhookId")?);
        let webhook = found.ok_or_else(|| ApiError::no_such_webhook(NONE_TO_TEST))?;
        self.test(caller, params, &webhook).await
    }

    async fn test(&self, caller: &Caller, params: &Params, webhook: &Arc<Webhook>) -> Result<Answer, ApiError> {
        let kind = fields::test_type(params, &self.types, &webhook.owner)?;
        let wait = params.flag("wait")?.unwrap_or(false);
        let webhook = self.overridden(params, webhook)?;
        if let Caller::Person(user) = caller {
            self.allowance.take(user, self.parts.clock.now())?;
        }
        if kind.as_str() == NEVER_SENT {
            return Ok(Answer::Nothing);
        }
        let Some(event) = self.parts.tester.event(&webhook.owner, &webhook.source, &kind) else {
            let reason = format!("{kind:?} has no dummy event, in Misskey neither; choose another type to test");
            return Err(ApiError::param("type", reason));
        };
        let busy = |error: crate::deliver::TestsBusy| ApiError::rate_limit(BUSY_S, &error.to_string());
        let sending = self.parts.tester.start(webhook, event).map_err(busy)?;
        if !wait {
            return Ok(Answer::Nothing);
        }
        match sending.await {
            // To which address inside a name leads is not for everyone who has an account.
            Ok(tested) if tested.outcome == Outcome::Forbidden && matches!(caller, Caller::Person(_)) => {
                Ok(Answer::json(&TestedShape::of(&Tested { words: FORBIDDEN.to_owned(), ..tested })))
            }
            Ok(tested) => Ok(Answer::json(&TestedShape::of(&tested))),
            Err(_) => Err(ApiError::internal("the test was not sent; this is a defect, and the log has more")),
        }
    }

    /// The webhook as `override` wants it for this once.
    fn overridden(&self, params: &Params, webhook: &Webhook) -> Result<Webhook, ApiError> {
        let mut webhook = webhook.clone();
        if let Some(overriding) = params.object("override")? {
            let within = |error: ApiError| error.within("override");
            if let Some(url) = self.url(&overriding, Some(&webhook)).map_err(within)? {
                webhook.url = url;
            }
            if let Some(secret) = fields::secret(&overriding).map_err(within)? {
                webhook.secret = secret;
            }
        }
        Ok(webhook)
    }
}
