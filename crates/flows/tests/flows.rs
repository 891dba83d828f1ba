//! Flows as a worker meets them, held to a model that keeps lists and looks through all of them each time.

use std::num::NonZeroU64;
use std::time::Duration;

use proptest::prelude::*;
use writ_flows::{Cause, Flows, Settings, Sign, Summary};

type Key = (u8, u16);

/// A flow of the model.
#[derive(Clone, Debug)]
struct Counted {
    key: Key,
    /// Time and length of each packet that was not told yet.
    packets: Vec<(u64, u32)>,
    last: u64,
    told: u64,
    is_over: bool,
}

impl Counted {
    fn tell(&mut self, now: u64, cause: Cause, told: &mut Vec<Summary<Key>>) {
        self.told = now;
        let (Some(first), Some(last)) = (self.packets.first(), self.packets.last()) else { return };
        told.push(Summary {
            key: self.key,
            packets: self.packets.len() as u64,
            octets: self.packets.iter().map(|(_, octets)| u64::from(*octets)).sum(),
            first_ns: first.0,
            last_ns: last.0,
            cause,
        });
        self.packets.clear();
    }
}

/// Flows in the order of their last packets.
struct Model {
    settings: Settings,
    flows: Vec<Counted>,
    now: u64,
}

impl Model {
    fn advance(&mut self, time: u64) -> Vec<Summary<Key>> {
        self.now = self.now.max(time);
        let mut told = Vec::new();
        let idle = self.settings.idle_timeout.as_nanos() as u64;
        self.flows.retain_mut(|flow| {
            let stays = self.now - flow.last < idle;
            if !stays {
                flow.tell(self.now, Cause::Idle, &mut told);
            }
            stays
        });
        if let Some(period) = self.settings.period {
            for flow in &mut self.flows {
                if self.now - flow.told >= period.as_nanos() as u64 {
                    flow.tell(self.now, Cause::Period, &mut told);
                }
            }
        }
        told
    }

    fn packet(&mut self, key: Key, octets: u32, time: u64, sign: Sign) -> Vec<Summary<Key>> {
        let mut told = self.advance(time);
        let now = self.now;
        let known = self.flows.iter().position(|flow| flow.key == key).map(|place| self.flows.remove(place));
        let mut is_new = known.is_none();
        let mut flow = known.unwrap_or_else(|| {
            if self.flows.len() == self.settings.most_flows.get() as usize {
                self.flows.remove(0).tell(now, Cause::Displaced, &mut told);
            }
            Counted { key, packets: Vec::new(), last: now, told: now, is_over: false }
        });
        if flow.is_over && sign == Sign::Begin {
            flow.tell(now, Cause::End, &mut told);
            flow.is_over = false;
            is_new = true;
        }
        flow.packets.push((now, octets));
        flow.last = now;
        let ends = sign == Sign::End && !flow.is_over;
        flow.is_over |= ends;
        if ends && self.settings.at_end {
            flow.tell(now, Cause::End, &mut told);
        } else if is_new && self.settings.at_start {
            flow.tell(now, Cause::Start, &mut told);
        } else if self.settings.packet_count.is_some_and(|count| flow.packets.len() as u64 >= count.get()) {
            flow.tell(now, Cause::PacketCount, &mut told);
        }
        self.flows.push(flow);
        told
    }
}

#[derive(Clone, Debug)]
enum Step {
    Packet { key: Key, octets: u32, after: u64, sign: Sign },
    Advance { after: u64 },
    Close { slot: u8 },
}

fn any_step() -> impl Strategy<Value = Step> {
    let key = (0..2_u8, 0..6_u16);
    let sign = prop::sample::select(vec![Sign::None, Sign::None, Sign::None, Sign::Begin, Sign::End]);
    prop_oneof![
        10 => (key, 20..1500_u32, 0..30_u64, sign)
            .prop_map(|(key, octets, after, sign)| Step::Packet { key, octets, after, sign }),
        2 => (0..200_u64).prop_map(|after| Step::Advance { after }),
        1 => (0..2_u8).prop_map(|slot| Step::Close { slot }),
    ]
}

fn any_settings() -> impl Strategy<Value = Settings> {
    (
        any::<bool>(),
        any::<bool>(),
        1..120_u64,
        proptest::option::of(1..90_u64),
        proptest::option::of(1..5_u64),
        1..10_u32,
    )
        .prop_map(|(at_start, at_end, idle, period, count, most)| Settings {
            at_start,
            at_end,
            idle_timeout: Duration::from_nanos(idle),
            period: period.map(Duration::from_nanos),
            packet_count: count.and_then(NonZeroU64::new),
            most_flows: most.try_into().unwrap(),
        })
}

/// Flows whose time has come at once come in no order that is promised.
fn sorted(mut told: Vec<Summary<Key>>) -> Vec<Summary<Key>> {
    told.sort_by_key(|summary| (summary.key, summary.first_ns, summary.cause));
    told
}

proptest! {
    #[test]
    fn as_the_model_says_and_no_packet_is_lost(
        settings in any_settings(),
        steps in proptest::collection::vec(any_step(), 1..200),
    ) {
        let mut flows = Flows::new(&settings);
        let mut model = Model { settings, flows: Vec::new(), now: 0 };
        let (mut time, mut seen, mut accounted) = (0, 0, 0);
        for step in steps {
            let mut told = Vec::new();
            let expected = match step {
                Step::Packet { key, octets, after, sign } => {
                    time += after;
                    seen += 1;
                    flows.packet(key, octets, time, sign, |summary| told.push(summary));
                    model.packet(key, octets, time, sign)
                }
                Step::Advance { after } => {
                    time += after;
                    flows.advance(time, |summary| told.push(summary));
                    model.advance(time)
                }
                Step::Close { slot } => {
                    flows.close(|key| key.0 == slot, |summary| told.push(summary));
                    let mut expected = Vec::new();
                    let now = model.now;
                    model.flows.retain_mut(|flow| {
                        let is_meant = flow.key.0 == slot;
                        if is_meant {
                            flow.tell(now, Cause::Closed, &mut expected);
                        }
                        !is_meant
                    });
                    expected
                }
            };
            accounted += told.iter().map(|summary| summary.packets).sum::<u64>();
            prop_assert_eq!(sorted(told), sorted(expected));
            prop_assert_eq!(flows.len(), model.flows.len());
        }
        flows.close(|_| true, |summary| accounted += summary.packets);
        prop_assert_eq!(accounted, seen, "every packet is in one summary");
        prop_assert!(flows.is_empty());
    }
}

#[test]
fn a_connection_from_its_first_packet_to_its_last() {
    let settings = Settings { at_start: true, packet_count: NonZeroU64::new(3), ..Settings::default() };
    let mut flows = Flows::new(&settings);
    let mut told = Vec::new();
    let mut packet = |millis: u64, sign| {
        flows.packet("a", 100, millis * 1_000_000, sign, |summary| told.push((summary.cause, summary.packets)));
    };
    packet(0, Sign::Begin);
    for millis in 1..=4 {
        packet(millis, Sign::None);
    }
    packet(5, Sign::End);
    packet(6, Sign::None);
    packet(7, Sign::Begin);
    packet(120_000, Sign::None);
    assert_eq!(
        told,
        [
            (Cause::Start, 1),
            (Cause::PacketCount, 3),
            (Cause::End, 2),
            // An acknowledgement after the end, told when a new connection has the same numbers.
            (Cause::End, 1),
            (Cause::Start, 1),
            // After a minute of silence it is another flow.
            (Cause::Start, 1),
        ]
    );
}

#[test]
fn time_that_goes_back_harms_nothing() {
    let mut flows = Flows::new(&Settings::default());
    let mut packets = 0;
    for time in [u64::MAX, 0, 5, u64::MAX] {
        flows.packet(7_u32, 60, time, Sign::None, |_| panic!("nothing is due"));
    }
    flows.close(|_| true, |summary| packets += summary.packets);
    assert_eq!(packets, 4);
}
