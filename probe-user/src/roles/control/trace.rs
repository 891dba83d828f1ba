//! `writ explain SLOT`: asks capture what the kernel holds of a slot, puts it beside the ledger and the sessions, and
//! says at which stage packets stop. An answer of capture's that does not come is a finding, too.

mod stages;

use super::{CONFIRMATION, Control, answer};
use crate::ipc::{Inspection, Reply, SlotTrace};
use crossbeam::channel::Sender;
use std::time::Instant;
use writ_capture::{boot_now_ns, utc_now_ns};

/// Somebody waits for the trace of a slot.
pub(super) struct Inquiry {
    slot: u16,
    asked: Sender<Reply>,
    deadline: Instant,
}

impl Control {
    /// Asks capture; the answer follows.
    pub(super) fn inquire(&mut self, slot: u16, asked: Sender<Reply>) {
        if self.intercepts.of_slot(slot).is_none() {
            return answer(&asked, not_in_use(slot));
        }
        self.intercepts.inspect(slot);
        self.inquiries.push(Inquiry { slot, asked, deadline: Instant::now() + CONFIRMATION });
    }

    /// Capture has answered.
    pub(super) fn inspected(&mut self, inspection: &Inspection) {
        let theirs = |inquiry: &mut Inquiry| inquiry.slot == inspection.slot;
        let inquiries: Vec<_> = self.inquiries.extract_if(.., theirs).collect();
        for inquiry in inquiries {
            answer(&inquiry.asked, self.trace(inquiry.slot, Some(inspection)));
        }
    }

    /// Answers those for whom capture has had its time.
    pub(super) fn give_up_inquiries(&mut self) {
        let now = Instant::now();
        let late: Vec<_> = self.inquiries.extract_if(.., |inquiry| inquiry.deadline <= now).collect();
        for inquiry in late {
            answer(&inquiry.asked, self.trace(inquiry.slot, None));
        }
    }

    fn trace(&self, slot: u16, inspection: Option<&Inspection>) -> Reply {
        let status = self.status();
        let tenancy = self.intercepts.of_slot(slot);
        let found = tenancy.and_then(|tenancy| {
            let intercept = status.intercepts.iter().find(|it| it.slot == tenancy.order.slot)?;
            Some((tenancy, intercept))
        });
        let Some((tenancy, intercept)) = found else { return not_in_use(slot) };
        let stages = stages::of(&stages::Evidence {
            status: &status,
            intercept,
            progress: tenancy.progress,
            window_utc_ns: tenancy.order.start_utc_ns..tenancy.order.stop_utc_ns,
            streams: tenancy
                .order
                .deliveries
                .iter()
                .map(|it| (it.cmii, it.cmc && !tenancy.order.headers_only))
                .collect(),
            utc_ns: utc_now_ns(),
            boot_ns: boot_now_ns(),
            inspection,
        });
        let (stops_at, verdict) = stages::verdict(&stages);
        Reply::SlotTrace(Box::new(SlotTrace { slot: intercept.slot, stages, stops_at, verdict }))
    }
}

fn not_in_use(slot: u16) -> Reply {
    Reply::Refused { reasons: vec![format!("slot {slot} is not in use; `writ status` shows those that are")] }
}
