//! Opens what the short commands need, and hands it over.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::reconcile::reconciler;
use super::service::{credentials, ingest_of, open_queue, remembering_ingest_of};
use super::store::{history_reader, store_of_a_command};
use super::{FAILED, logging, management, traces};
use crate::cli::{
    self, Allowed, Choices, CliError, ConnectArgs, Connecting, DeadCommand, DeadParts, DeliveriesCommand, ForgetArgs,
    MisskeyCommand, Output, PublishArgs, ReconcileArgs, RejectedCommand, ResendArgs, WebhooksCommand,
};
use crate::clock::{SharedClock, SystemClock};
use crate::config::{Log, LogFormat, QueueUrl, Settings};
use crate::misskey::Misskey;
use crate::model::Subscribable;
use crate::operate::{DeletedWebhooks, ForgetPlaces, Operations};
use crate::queue::{Access, Queue, QueueError};
use crate::record::{DeadLetters, HistoryReader, Latest, Retention};
use crate::registry::{Registry, RegistryError};
use crate::store::Store;
use crate::telemetry::{LogLevel, Telemetry, chain};
use crate::traces::Kind;

/// How long `forget` waits to hear whether the queue is there, which it does not need.
const QUEUE_LOOK_MAX: Duration = Duration::from_secs(5);

/// `hikyaku publish`.
pub(super) async fn publish(settings: &Settings, args: &PublishArgs, output: &mut Output) -> anyhow::Result<ExitCode> {
    log_errors(settings);
    let url = match &args.queue {
        None => settings.queue.url.clone(),
        Some(url) => QueueUrl::parse(url).map_err(|what| not_a_queue(url, &what))?,
    };
    let (clock, telemetry) = (SystemClock::shared(), Telemetry::shared()?);
    let queue = open_queue(settings, &url, Access::Producer, &clock, &telemetry).await?;
    let (tracer, exporting) = traces::start(settings, &url, &clock, &telemetry)?;
    let ingest = ingest_of(settings, &queue, &clock, &telemetry).traced_by(tracer.clone());
    let on_terminal = std::io::stderr().is_terminal();
    let span = tracer.begin(Kind::Internal, "hikyaku publish", traces::of_process());
    let published =
        cli::publish(args, &ingest, &span, &url.to_string(), settings.ingest.event_bytes_max, on_terminal, output)
            .await;
    // Whoever just goes is a warning in RabbitMQ's log.
    queue.close().await;
    drop(span);
    if let Some(exporting) = exporting {
        exporting.stop().await;
    }
    let published = published?;
    Ok(if published.refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// `hikyaku webhooks ...`.
pub(super) async fn webhooks(
    settings: Settings,
    command: WebhooksCommand,
    output: &mut Output,
) -> anyhow::Result<ExitCode> {
    log_errors(&settings);
    let (clock, telemetry) = (SystemClock::shared(), Telemetry::shared()?);
    let store = store_of_a_command(&settings).await?;
    // Deleting is the way out when the settings file declares what the store has too, so it must not fail for that.
    let deleted = match &command {
        WebhooksCommand::Delete { id, .. } => settings.webhooks.iter().find(|webhook| webhook.id.as_str() == id),
        _ => None,
    };
    let deleted = deleted.map(|webhook| webhook.id.clone());
    let declared = if deleted.is_some() { Vec::new() } else { settings.webhooks.clone() };
    let registry = Registry::open(&store, settings.store.seals.clone(), declared, SystemClock::shared()).await?;
    let latest = Arc::new(Latest::in_store(&store).await?);
    if let WebhooksCommand::Test(args) = &command {
        let tester = management::tester(&settings, &latest, &clock, &telemetry)?;
        let is_taken = cli::test_webhook(args, &registry, &latest, &tester, output).await?;
        return Ok(if is_taken { ExitCode::SUCCESS } else { ExitCode::from(FAILED) });
    }
    let (types, addresses) = (Subscribable::with(settings.misskey.extra_types.clone()), settings.delivery.addresses());
    let allowed = Allowed { types: &types, addresses: &addresses, signing_grace: settings.delivery.signing_grace };
    let done = cli::webhooks(command, &registry, &latest, &allowed, &SystemClock::shared(), output).await;
    match (done, deleted) {
        // What the store does not have is the settings file's alone, and stands in every list.
        (Err(CliError::Registry(RegistryError::NotFound { .. })), Some(id)) => {
            Err(RegistryError::Declared { id }.into())
        }
        (done, _) => Ok(done.map(|()| ExitCode::SUCCESS)?),
    }
}

/// `hikyaku dead ...`.
pub(super) async fn dead(settings: &Settings, command: DeadCommand, output: &mut Output) -> anyhow::Result<ExitCode> {
    log_errors(settings);
    let (clock, telemetry) = (SystemClock::shared(), Telemetry::shared()?);
    let store = store_of_a_command(settings).await?;
    let queue = open_queue(settings, &settings.queue.url, Access::Producer, &clock, &telemetry).await?;
    let parts = DeadParts {
        operations: operations(settings, &store, &queue, clock).await?,
        history: history_reader(settings, &store),
        event_bytes_max: settings.ingest.event_bytes_max,
    };
    let done = cli::dead(command, &parts, output).await;
    queue.close().await;
    Ok(if done? { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// What puts deliveries back to work, by what lies in `store`.
async fn operations(
    settings: &Settings,
    store: &Store,
    queue: &Queue,
    clock: SharedClock,
) -> anyhow::Result<Operations> {
    let letters = Arc::new(open_letters(settings, store, &clock).await?);
    let declared = settings.webhooks.iter().map(|webhook| webhook.id.clone()).collect();
    let deleted = DeletedWebhooks::Store(store.clone(), Arc::new(declared));
    Ok(Operations { letters, deleted, queue: queue.clone(), clock })
}

async fn open_letters(settings: &Settings, store: &Store, clock: &SharedClock) -> anyhow::Result<DeadLetters> {
    let retention = Retention { age: settings.dead_letters.retention, count_max: settings.dead_letters.count_max };
    Ok(DeadLetters::in_store(store, retention, Arc::clone(clock)).await?)
}

/// `hikyaku deliveries ...`.
pub(super) async fn deliveries(
    settings: &Settings,
    command: DeliveriesCommand,
    output: &mut Output,
) -> anyhow::Result<ExitCode> {
    log_errors(settings);
    let store = store_of_a_command(settings).await?;
    let history = history_reader(settings, &store);
    let clock = SystemClock::shared();
    if let DeliveriesCommand::Resend(args) = &command {
        return resend(settings, args, &history, clock, output).await;
    }
    // Only to show who put a delivery back to work: a listing needs no store, and makes none.
    let letters = match &command {
        DeliveriesCommand::Show { .. } => open_letters(settings, &store, &clock).await.ok(),
        DeliveriesCommand::List { .. } | DeliveriesCommand::Resend(_) => None,
    };
    cli::deliveries(command, &history, letters.as_ref(), &clock, output).await?;
    Ok(ExitCode::SUCCESS)
}

/// `hikyaku deliveries resend`.
async fn resend(
    settings: &Settings,
    args: &ResendArgs,
    history: &HistoryReader,
    clock: SharedClock,
    output: &mut Output,
) -> anyhow::Result<ExitCode> {
    let telemetry = Telemetry::shared()?;
    let queue = open_queue(settings, &settings.queue.url, Access::Producer, &clock, &telemetry).await?;
    let operations = operations(settings, &store_of_a_command(settings).await?, &queue, clock).await?;
    let done = cli::resend(args, &operations, history, output).await;
    queue.close().await;
    Ok(if done? { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// `hikyaku forget`.
pub(super) async fn forget(settings: Settings, args: &ForgetArgs, output: &mut Output) -> anyhow::Result<ExitCode> {
    log_errors(&settings);
    let (clock, telemetry) = (SystemClock::shared(), Telemetry::shared()?);
    let store = store_of_a_command(&settings).await?;
    let letters = open_letters(&settings, &store, &clock).await?;
    let latest = Latest::in_store(&store).await?;
    let history = history_reader(&settings, &store);
    let seals = settings.store.seals.clone();
    let registry = Registry::open(&store, seals, settings.webhooks.clone(), Arc::clone(&clock)).await?;
    let places = ForgetPlaces { letters: &letters, registry: &registry, latest: &latest, history: &history };
    let queue_trouble = async {
        let opening = open_queue(&settings, &settings.queue.url, Access::Producer, &clock, &telemetry);
        match tokio::time::timeout(QUEUE_LOOK_MAX, opening).await {
            Ok(Ok(queue)) => {
                queue.close().await;
                None
            }
            Ok(Err(error)) => Some(chain(&error)),
            Err(_) => Some(format!("{} has not answered within {} s", settings.queue.url, QUEUE_LOOK_MAX.as_secs())),
        }
    };
    cli::forget(args, places, queue_trouble, output).await?;
    Ok(ExitCode::SUCCESS)
}

/// `hikyaku rejected ...`.
pub(super) async fn rejected(
    settings: &Settings,
    command: RejectedCommand,
    output: &mut Output,
) -> anyhow::Result<ExitCode> {
    log_errors(settings);
    if let Some(path) = settings.queue.url.file() {
        // Asked before the file is made or opened for it.
        let path = path.display().to_string();
        return Err(CliError::Usage(QueueError::RejectsNothing { path }.to_string()).into());
    }
    let (clock, telemetry) = (SystemClock::shared(), Telemetry::shared()?);
    let queue = open_queue(settings, &settings.queue.url, Access::Producer, &clock, &telemetry).await?;
    let done = cli::rejected(command, &queue, &settings.queue.prefix, output).await;
    queue.close().await;
    done?;
    Ok(ExitCode::SUCCESS)
}

/// `hikyaku reconcile`.
pub(super) async fn reconcile(
    settings: &Settings,
    args: &ReconcileArgs,
    output: &mut Output,
) -> anyhow::Result<ExitCode> {
    log_errors(settings);
    let token = cli::token_of(args)?.or_else(|| settings.misskey.token.clone()).ok_or_else(|| {
        CliError::Usage(
            "nothing says who asks Misskey: set misskey.token to a moderator's token, or give one with --token -"
                .to_owned(),
        )
    })?;
    let (clock, telemetry) = (SystemClock::shared(), Telemetry::shared()?);
    let queue = open_queue(settings, &settings.queue.url, Access::Producer, &clock, &telemetry).await?;
    let ingest =
        remembering_ingest_of(settings, &store_of_a_command(settings).await?, &queue, &clock, &telemetry).await?;
    cli::reconcile(args, &reconciler(settings, token, ingest)?, output).await?;
    queue.close().await;
    Ok(ExitCode::SUCCESS)
}

/// `hikyaku misskey ...`.
pub(super) async fn misskey(
    settings: Settings,
    command: MisskeyCommand,
    output: &mut Output,
) -> anyhow::Result<ExitCode> {
    log_errors(&settings);
    match command {
        MisskeyCommand::Secret { user, source } => {
            cli::misskey_secret(&user, &source, &credentials(&settings), output)?;
        }
        MisskeyCommand::Connect(args) => connect(settings, &args, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `hikyaku misskey connect`.
async fn connect(settings: Settings, args: &ConnectArgs, output: &mut Output) -> anyhow::Result<()> {
    let missing = |what: &str| CliError::Usage(format!("{what}; docs/misskey.md shows how"));
    let url = settings.misskey.url.as_ref();
    let url = url.ok_or_else(|| missing("misskey.url is not set, so nobody knows which Misskey to connect to"))?;
    let here = settings.misskey.ingest_url.as_ref();
    let here =
        here.ok_or_else(|| missing("misskey.ingest_url is not set, the address under which Misskey reaches hikyaku"))?;
    let misskey = Misskey::new(url, &settings.outbound.authorities)?;
    let registry = Registry::open(
        &store_of_a_command(&settings).await?,
        settings.store.seals.clone(),
        settings.webhooks.clone(),
        SystemClock::shared(),
    )
    .await?;
    let with = Connecting {
        misskey: &misskey,
        here: &here.url,
        source: &here.source,
        credentials: &credentials(&settings),
        registry: &registry,
        webhook_limit: settings.misskey.webhook_limit,
        addresses: &settings.delivery.addresses(),
    };
    let can_ask = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    Ok(cli::connect(args, &with, &Choices::new(args, can_ask), output).await?)
}

/// Says what is wrong with `url`, which is quoted unless it may hold a password.
pub(super) fn not_a_queue(url: &str, what: &str) -> CliError {
    CliError::Usage(if url.contains('@') { format!("--queue: {what}") } else { format!("--queue {url:?}: {what}") })
}

/// These commands say themselves what happened; the log is for what they cannot say.
pub(super) fn log_errors(settings: &Settings) {
    let format = match settings.log.format {
        // Whoever runs them reads them, also by way of a file.
        LogFormat::Auto => LogFormat::Text,
        format => format,
    };
    logging::start(&Log { level: LogLevel::Error, format });
}
