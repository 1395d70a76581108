//! What the worker knows of a fresh event before it has taken it: that its webhook is left alone, or answers nothing.

use std::sync::Arc;

use super::outlook::Outlook;
use super::reports::Reports;
use super::traced;
use crate::decide::Step;
use crate::model::Event;
use crate::queue::{Foreseen, Foresight};
use crate::traces::Tracer;

/// The worker's knowledge, for those who publish in its process.
#[derive(Debug)]
pub(super) struct WorkersForesight {
    pub(super) outlook: Arc<Outlook>,
    pub(super) reports: Arc<Reports>,
    pub(super) tracer: Tracer,
}

impl Foresight for WorkersForesight {
    fn foresee(&self, event: &Event) -> Option<Foreseen> {
        let (pursuit, step) = self.outlook.foresee(event)?;
        // Too old by then: that is for the worker to do.
        let Step::Later { delivery, due, .. } = &step else { return None };
        let (delivery, due) = (delivery.clone(), *due);
        let (reports, tracer) = (Arc::clone(&self.reports), self.tracer.clone());
        let tell = move |event: &Event| {
            traced::waits_from_the_start(&tracer, event, &pursuit, &step, reports.clock.now());
            reports.settled(event, [(pursuit, step.into())], 0);
        };
        Some(Foreseen { delivery, due, tell: Box::new(tell) })
    }
}
