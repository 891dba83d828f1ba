//! An input of the fuzzer: a byte that says which program, and a frame. What the fuzzer finds is kept in this form, and is
//! tried again from then on.

use crate::agreement::Agreement;
use crate::cast;
use crate::reference::World;
use writ_capture::{OnMiss, Tunnel};

/// The kinds of mirror port, by their number in an input.
const TUNNELS: [Tunnel; 5] = [Tunnel::None, Tunnel::Gre, Tunnel::Erspan, Tunnel::Vxlan, Tunnel::Tzsp];
/// Bits of an input's first byte, above the kind of port.
const PASS: u8 = 8;
const NOT_INSIDE: u8 = 16;
/// What the kernel takes in a test run: an Ethernet header at least, and what fits a page beside what it keeps there.
const FRAME: std::ops::RangeInclusive<usize> = 14..=3000;

/// A frame, and the port that it comes in on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input<'a> {
    /// What the port does with what is not taken.
    pub on_miss: OnMiss,
    /// In what the port's mirror wraps its frames.
    pub tunnel: Tunnel,
    /// Whether packets within packets are looked at.
    pub look_inside: bool,
    /// The frame.
    pub frame: &'a [u8],
}

impl<'a> Input<'a> {
    /// `None`: no program, or no frame that the kernel tries.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (&kind, frame) = bytes.split_first()?;
        let tunnel = *TUNNELS.get(usize::from(kind & !(PASS | NOT_INSIDE)))?;
        let on_miss = if kind & PASS == 0 { OnMiss::Drop } else { OnMiss::Pass };
        FRAME.contains(&frame.len()).then_some(Self { on_miss, tunnel, look_inside: kind & NOT_INSIDE == 0, frame })
    }

    /// The same as bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let tunnel = TUNNELS.iter().position(|tunnel| *tunnel == self.tunnel).unwrap_or_default() as u8;
        let pass = if self.on_miss == OnMiss::Pass { PASS } else { 0 };
        let not_inside = if self.look_inside { 0 } else { NOT_INSIDE };
        [&[tunnel | pass | not_inside][..], self.frame].concat()
    }
}

/// The programs that inputs name, each loaded when it is first asked for.
#[derive(Default)]
pub struct Programs(Vec<(Tunnel, bool, Agreement)>);

impl Programs {
    /// Shows an input to the program and to the model. The error says what they do not agree on, counters included.
    pub fn try_input(&mut self, input: &Input<'_>) -> Result<(), String> {
        let Input { on_miss, tunnel, look_inside, frame } = *input;
        let known = self.0.iter().position(|(of, inside, _)| (*of, *inside) == (tunnel, look_inside));
        let place = known.unwrap_or_else(|| {
            let agreement = Agreement::new(World { tunnel, look_inside, ..cast::world() });
            self.0.push((tunnel, look_inside, agreement));
            self.0.len() - 1
        });
        let agreement = &mut self.0[place].2;
        agreement.try_frame(on_miss, frame)?;
        agreement.counts().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_read_as_it_was_written() {
        let frame = &[7; 60][..];
        for tunnel in TUNNELS {
            for (on_miss, look_inside) in [(OnMiss::Drop, true), (OnMiss::Pass, false), (OnMiss::Drop, false)] {
                let input = Input { on_miss, tunnel, look_inside, frame };
                assert_eq!(Input::read(&input.bytes()), Some(input));
            }
        }
        let refused = [&[][..], &[0; 14], &[5; 60], &[32; 60], &[0; 3002]];
        assert!(refused.iter().all(|bytes| Input::read(bytes).is_none()));
    }
}
