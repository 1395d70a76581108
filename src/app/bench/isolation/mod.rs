//! What bad receivers cost the healthy ones: the same load again and again, each time with other neighbours.
//!
//! Every webhook has a user, and a receiver at an address, of its own, and gets as many events a second as the others. The
//! receivers of every second webhook stay healthy in every scenario, and only these are compared: how long from the moment
//! for which an event was planned (the load is open: it is published then, whatever became of those before) until its
//! receiver has read the request whole. Of the others, some hang, and so on; before and after each such scenario is one in which
//! they are all healthy and get their events, so the total of events is the same in all.
//!
//! A ratio is that of a scenario to the two beside it, in which nobody is bad, since a machine, and above all its disk, is not
//! equally fast for long. Those without bad ones are compared with the two nearest others in the same way: what that ratio differs
//! from 1 by is noise. Over the runs, medians are told.
//!
//! The program has its default settings but for the deadline, in the same process as receivers and publisher, which have
//! threads of their own. At the end of each scenario, each event is looked for: see [`Balance`](super::ledger::Balance).

mod figures;
mod scenario;

use std::process::ExitCode;
use std::time::Duration;

use self::figures::Figures;
use self::scenario::{Plan, Scenario};
use crate::app::FAILED;
use crate::app::own_queues::OwnQueues;
use crate::app::serve::raise_file_limit;
use crate::app::signals::Signals;
use crate::cli::{BenchArgs, Output};
use crate::config::Settings;

const ENDPOINTS: u32 = 100;
const RATE: u32 = 10;
const SECONDS: u32 = 60;

/// Measures every scenario as often as `args` say, and prints. The exit code tells whether every event was found.
pub(super) async fn run(args: &BenchArgs, output: &mut Output) -> anyhow::Result<ExitCode> {
    let delivery = Settings::default().delivery;
    let deadline = args.deadline_ms.map_or(delivery.timeout, |ms| Duration::from_millis(u64::from(ms)));
    let plan = Plan {
        endpoints: args.endpoints.unwrap_or(ENDPOINTS),
        rate: args.rate.unwrap_or(RATE),
        seconds: args.seconds.unwrap_or(SECONDS),
        bytes: args.bytes as usize,
        deadline,
    };
    // Both ends of each connection are here.
    if let Some((given, needed)) = raise_file_limit(delivery.concurrency * 2) {
        output.note(&format!("this process may open {given} files and may need {needed}: raise the limit (ulimit -n)"));
    }
    let mut signals = Signals::catch()?;
    let mut rounds = Vec::new();
    for number in 1..=args.runs {
        let mut round = Vec::new();
        for scenario in Scenario::all(&plan) {
            let own = OwnQueues::of("bench", args.queue.as_deref())?;
            output.note(&format!("run {number} of {}: {}", args.runs, scenario.words(&plan)));
            if let Some(own) = &own {
                output.note(&own.words());
            }
            let measured = tokio::select! {
                measured = scenario.measure(&plan, own.as_ref()) => measured,
                signal = signals.next() => Err(anyhow::anyhow!("interrupted by {signal}")),
            };
            let removed = match &own {
                Some(own) => own.remove().await,
                None => Ok(()),
            };
            let measured = measured?;
            output.note(&format!("  {}", measured.words()));
            round.push(measured);
            removed?;
        }
        rounds.push(round);
    }
    let figures = Figures::of(plan, &rounds, args.queue.is_some());
    if args.json {
        output.line(&figures.json().to_string())?;
    } else {
        figures.lines().iter().try_for_each(|line| output.line(line))?;
    }
    Ok(if figures.all_found() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
