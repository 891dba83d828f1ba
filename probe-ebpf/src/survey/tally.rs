//! The survey's counters on this CPU, in memory that user space maps.

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use writ_abi::{SurveyCounter, SurveyCounters};

/// `BPF_F_MMAPABLE`.
const MMAPABLE: u32 = 1 << 10;

#[map]
static WRIT_SRVCNT: Array<SurveyCounters> = Array::with_max_entries(1, MMAPABLE);

/// This CPU's counters. No other CPU writes to them, and XDP does not interrupt itself: plain additions are enough.
#[derive(Clone, Copy)]
pub struct Tally(*mut SurveyCounters);

impl Tally {
    /// `None`: the counters are not laid out for this CPU.
    #[inline(always)]
    pub fn of_this_cpu() -> Option<Self> {
        // SAFETY: a helper without arguments.
        let cpu = unsafe { bpf_get_smp_processor_id() } as u32;
        WRIT_SRVCNT.get_ptr_mut(cpu).map(Self)
    }

    #[inline(always)]
    pub fn count(self, what: SurveyCounter) {
        self.add(what, 1);
    }

    #[inline(always)]
    pub fn count_if(self, what: SurveyCounter, condition: bool) {
        if condition {
            self.count(what);
        }
    }

    #[inline(always)]
    pub fn add(self, what: SurveyCounter, amount: u64) {
        // SAFETY: map memory, which outlives the program's run; the index is smaller than PLACES by an assertion of
        // the ABI, and known where this is inlined.
        unsafe { (*self.0).0[what as usize] += amount };
    }

    /// Counts a frame by its length.
    #[inline(always)]
    pub fn size(self, length: u32) {
        self.count(SurveyCounter::Frames);
        self.add(SurveyCounter::Bytes, length.into());
        // SAFETY: as above.
        let longest = unsafe { &mut (*self.0).0[SurveyCounter::Longest as usize] };
        if u64::from(length) > *longest {
            *longest = length.into();
        }
        match length {
            ..=127 => self.count(SurveyCounter::UpTo127),
            ..=511 => self.count(SurveyCounter::UpTo511),
            ..=1023 => self.count(SurveyCounter::UpTo1023),
            ..=1526 => self.count(SurveyCounter::UpTo1526),
            _ => self.count(SurveyCounter::Longer),
        }
    }
}
