//! What can become of requests to us, attempts and deliveries: closed lists whose names appear in metrics, tables, logs and the CLI.
//!
//! The names are a contract: they are stored and used as metric labels. Adding one is fine, renaming one is not.

use std::fmt;

macro_rules! closed_list {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$item_doc])* $item),+
        }

        impl $name {
            /// Every member, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$item),+];

            /// The name that users see.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$item => $text),+ }
            }

            /// The member of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|member| member.as_str() == name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

closed_list!(
    /// What an attempt came to.
    Outcome {
        /// 2xx.
        Delivered = "delivered",
        /// 410: the receiver wants nothing more.
        Gone = "gone",
        /// 3xx or a 4xx that trying again cannot mend.
        Refused = "refused",
        /// 429.
        RateLimited = "rate_limited",
        /// 408, 425, 5xx, or a status outside 200 to 499.
        ServerError = "server_error",
        /// No complete answer within the deadline.
        Timeout = "timeout",
        /// The host's name has no address.
        Dns = "dns",
        /// The TLS handshake failed.
        Tls = "tls",
        /// The connection was refused, reset, or closed half-way, or the answer was no HTTP.
        Connection = "connection",
        /// Policy forbids the address.
        Forbidden = "forbidden",
        /// No request can be made of this webhook.
        Invalid = "invalid",
        /// We could not try: no file descriptor, no memory.
        OurFault = "our_fault",
    }
);

closed_list!(
    /// Why a delivery was given up.
    DeathReason {
        /// The receiver answered 410.
        Gone = "gone",
        /// The receiver answered 3xx, or a 4xx that trying again cannot mend.
        Refused = "refused",
        /// Policy forbids the address.
        Forbidden = "forbidden",
        /// No request can be made of this webhook.
        Invalid = "invalid",
        /// No webhook of that id was ever known here.
        UnknownWebhook = "unknown_webhook",
        /// The webhook was deactivated while this was under way.
        Deactivated = "deactivated",
        /// Every attempt of the schedule is spent.
        Exhausted = "exhausted",
        /// Older than `max_age`.
        Expired = "expired",
    }
);

closed_list!(
    /// Why a delivery was put off without spending an attempt.
    ParkReason {
        /// Its owner has paused the webhook.
        Paused = "paused",
        /// The webhook's slots are taken for longer than it is worth waiting.
        NoSlot = "no_slot",
        /// The webhook failed too often of late, and is left alone for a while.
        BreakerOpen = "breaker_open",
        /// The receiver has asked for all requests to its webhook to wait (`Retry-After` with 429 or 503).
        RetryAfter = "retry_after",
        /// The webhook's host gives no HTTP answer to several webhooks, and is left alone for a while.
        HostDown = "host_down",
        /// The webhook's rate limit lets it go no sooner than it is worth waiting.
        RateLimit = "rate_limit",
        /// We could not try.
        OurFault = "our_fault",
    }
);

closed_list!(
    /// Why a delivery ended without being delivered or dead.
    DropReason {
        /// Its webhook was deleted.
        WebhookDeleted = "webhook_deleted",
        /// The person whose event it is was forgotten.
        UserForgotten = "user_forgotten",
    }
);

closed_list!(
    /// How far the history says that a delivery has come.
    DeliveryState {
        /// It is in the queue, and due at some time.
        Waiting = "waiting",
        /// The receiver has it.
        Delivered = "delivered",
        /// It was given up; it is a dead letter until that is replayed, purged or past retention.
        Dead = "dead",
        /// It ended because its webhook was deleted.
        Dropped = "dropped",
    }
);

closed_list!(
    /// How a delivery was put back to work.
    ReplayKind {
        /// It was a dead letter.
        Replay = "replay",
        /// It had ended in whatever way, and was asked for again.
        Resend = "resend",
    }
);

closed_list!(
    /// Why we deactivated a webhook.
    DeactivationReason {
        /// It answered 410.
        Gone = "gone",
        /// It failed for days without one success.
        Failing = "failing",
    }
);

closed_list!(
    /// Why what a Misskey sent was not taken in.
    IngestRefusal {
        /// Nobody has said in the settings what Misskey's webhooks carry.
        NotConfigured = "not_configured",
        /// There is no such source in the settings.
        UnknownSource = "unknown_source",
        /// No secret came with it.
        NoSecret = "no_secret",
        /// The secret is none of the source's.
        WrongSecret = "wrong_secret",
        /// The secret is right, and not for this event.
        OutOfScope = "out_of_scope",
        /// Too many bytes.
        TooLarge = "too_large",
        /// No event.
        NotAnEvent = "not_an_event",
        /// There was no room in memory for it.
        Busy = "busy",
        /// It did not arrive whole in time.
        Incomplete = "incomplete",
        /// The queue did not store it.
        NotStored = "not_stored",
        /// The queue did not store it in time; it may be stored by now.
        NotInTime = "not_in_time",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_member() {
        for reason in DeathReason::ALL {
            assert_eq!(DeathReason::from_name(reason.as_str()), Some(*reason));
        }
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::from_name(outcome.as_str()), Some(*outcome));
        }
        assert_eq!(Outcome::from_name("Delivered"), None);
    }
}
