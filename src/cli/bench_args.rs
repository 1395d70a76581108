//! The flags of `bench`: what is measured, and how much of it.

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// Events to deliver
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    pub events: u32,
    /// Requests in flight
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub concurrency: u32,
    /// Bytes of an event
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(300..=1_000_000))]
    pub bytes: u32,
    /// Runs of each kind; the medians are compared
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub runs: u32,
    /// Instead: fill the queue with this many waiting events and tell the memory used while some are delivered
    #[arg(long, value_name = "EVENTS")]
    pub backlog: Option<u32>,
    /// Instead: send so many requests a second as Misskey's webhooks do, over as many connections as --concurrency says, and
    /// tell how soon they are answered
    #[arg(long, value_name = "RATE", num_args = 0..=1, default_missing_value = "1000",
        value_parser = clap::value_parser!(u32).range(1..=100_000), conflicts_with_all = ["backlog", "queue"])]
    pub ingest: Option<u32>,
    /// Instead: tell how much later healthy webhooks get their events when others hang, are slow or refuse connections
    #[arg(long, group = "paced", conflicts_with_all = ["backlog", "ingest"])]
    pub isolation: bool,
    /// Instead: let a webhook's receiver be away with so many deliveries waiting for it, and tell what that costs
    #[arg(long, value_name = "DELIVERIES", group = "paced", value_parser = clap::value_parser!(u32).range(1..=10_000_000),
        conflicts_with_all = ["backlog", "ingest"])]
    pub outage: Option<u32>,
    /// Instead: tell what the history costs: deliveries a second with it, as a ratio to those without
    #[arg(long, conflicts_with_all = ["backlog", "ingest", "isolation", "outage"])]
    pub record: bool,
    /// The receiver that is away hangs, and does not refuse connections
    #[arg(long, requires = "outage")]
    pub hang: bool,
    /// The process of RabbitMQ (beam.smp) on this machine, whose processor time is told too
    #[arg(long, value_name = "PID", requires_all = ["outage", "queue"])]
    pub broker_pid: Option<u32>,
    /// Webhooks, each with a receiver at an address of its own; half of them stay healthy [default: 100]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(4..=1000), requires = "isolation")]
    pub endpoints: Option<u32>,
    /// Events a second for each webhook, all the while [default: 10]
    #[arg(long, value_name = "RATE", value_parser = clap::value_parser!(u32).range(1..=1000), requires = "paced")]
    pub rate: Option<u32>,
    /// Seconds that each run takes [default: 60, of an outage 3600]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400), requires = "paced")]
    pub seconds: Option<u32>,
    /// Milliseconds for one attempt; the slow receivers answer after a fifth of it [default: 10000]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(100..=600_000), requires = "paced")]
    pub deadline_ms: Option<u32>,
    /// Measure over RabbitMQ, amqp://user:password@host:5672/vhost, in queues that are deleted afterwards (against a bare loop)
    #[arg(long, value_name = "URL", conflicts_with = "backlog")]
    pub queue: Option<String>,
    /// The store of --record: PostgreSQL, postgres://user:password@host:5432/database, in a schema that is deleted afterwards
    #[arg(long, value_name = "URL", requires = "record")]
    pub store: Option<String>,
    /// Print the figures as one JSON document
    #[arg(long)]
    pub json: bool,
}
