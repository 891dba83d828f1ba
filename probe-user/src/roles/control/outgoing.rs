//! What control has to say to the capture role: in order, in messages that the channel takes, kept until it has room.

use crate::ipc::{ArmedTarget, Channel, Instruction, Outbox, ToCapture};

/// Bytes of instructions in one message, about: safely below the limit of a channel.
const MESSAGE_BYTES: usize = 60_000;
/// Bytes of an order without its targets, about.
const ORDER_BYTES: usize = 1500;
/// Bytes of any other instruction, about.
const STEP_BYTES: usize = 200;

/// See the module.
pub(super) struct Outgoing {
    messages: Outbox<ToCapture>,
    channel: Channel,
}

impl Outgoing {
    /// Begins with a greeting: whether a capture role holds anything already is not known.
    pub(super) fn new(channel: Channel) -> Self {
        let mut messages = Outbox::new();
        messages.push(ToCapture::Hello);
        Self { messages, channel }
    }

    /// Notes instructions for the capture process of this life.
    pub(super) fn queue(&mut self, life: u32, instructions: Vec<Instruction>) {
        for steps in messages(instructions) {
            self.messages.push(ToCapture::Apply { life, steps });
        }
    }

    /// Notes a question about a slot.
    pub(super) fn inspect(&mut self, slot: u16) {
        self.messages.push(ToCapture::Inspect { slot });
    }

    /// The capture process that they were meant for is gone.
    pub(super) fn forget_instructions(&mut self) {
        self.messages.retain(|message| matches!(message, ToCapture::Hello));
    }

    /// Sends what capture has room for; the rest waits for it.
    pub(super) fn flush(&mut self) {
        self.messages.flush(&self.channel, |_| Vec::new());
    }
}

/// The instructions in their order, as many in each message as it has room for.
fn messages(instructions: Vec<Instruction>) -> Vec<Vec<Instruction>> {
    let mut messages = Vec::new();
    let mut message = Vec::new();
    let mut bytes = 0;
    for instruction in instructions.into_iter().flat_map(in_parts) {
        bytes += match &instruction {
            Instruction::Arm(order) => ORDER_BYTES + bytes_of(&order.targets),
            Instruction::Targets { targets, .. } => STEP_BYTES + bytes_of(targets),
            Instruction::Bind(bound) => STEP_BYTES + bound.bytes(),
            _ => STEP_BYTES,
        };
        message.push(instruction);
        if bytes > MESSAGE_BYTES {
            messages.push(std::mem::take(&mut message));
            bytes = 0;
        }
    }
    if !message.is_empty() {
        messages.push(message);
    }
    messages
}

/// An order of many targets becomes several instructions.
fn in_parts(instruction: Instruction) -> Vec<Instruction> {
    let Instruction::Arm(mut order) = instruction else { return vec![instruction] };
    let mut parts = Vec::new();
    while bytes_of(&order.targets) > MESSAGE_BYTES {
        let mut room = MESSAGE_BYTES;
        let fits = |target: &&ArmedTarget| {
            let enough = room >= target.bytes();
            room = room.saturating_sub(target.bytes());
            enough
        };
        let rest = order.targets.split_off(order.targets.iter().take_while(fits).count());
        let targets = std::mem::replace(&mut order.targets, rest);
        parts.push(Instruction::Targets { slot: order.slot, targets });
    }
    parts.push(Instruction::Arm(order));
    parts
}

fn bytes_of(targets: &[ArmedTarget]) -> usize {
    targets.iter().map(ArmedTarget::bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::{ArmedIntercept, BoundSelector, SlotClaim, SlotName, longest_target};
    use ipnet::IpNet;
    use std::time::Duration;
    use uuid::Uuid;

    #[test]
    fn ten_thousand_targets_travel_in_messages_that_a_channel_takes() {
        let (here, there) = Channel::pair().unwrap();
        let slot = SlotName { slot: u16::MAX - 1, generation: u16::MAX };
        let targets: Vec<ArmedTarget> = (0..10_000)
            .map(|number| format!("2001:db8:ffff:ffff:ffff:ffff:ffff:{number:x}/128").parse::<IpNet>().unwrap())
            .enumerate()
            .map(|(number, prefix)| {
                let condition = longest_target().condition.filter(|_| number % 3 == 0);
                ArmedTarget { condition, ..prefix.into() }
            })
            .collect();
        let order = ArmedIntercept {
            slot,
            warrant: Uuid::from_u128(u128::MAX),
            revision: u32::MAX,
            start_utc_ns: u64::MAX,
            stop_utc_ns: u64::MAX,
            headers_only: false,
            from_subject: true,
            to_subject: true,
            deliveries: Vec::new(),
            subscriber_identity: "account".to_owned(),
            targets: targets.clone(),
        };
        let bind = |target: &ArmedTarget| {
            let claims = vec![SlotClaim { slot, condition: target.condition }; 8];
            Instruction::Bind(BoundSelector { selector: target.selector, claims })
        };
        let steps = [Instruction::Arm(Box::new(order))].into_iter().chain(targets.iter().map(bind)).collect();
        let (mut arrived, mut bound, mut armed) = (Vec::new(), 0, false);
        for steps in messages(steps) {
            here.send(&ToCapture::Apply { life: u32::MAX, steps }, &[]).unwrap();
            let (message, _) = there.receive::<ToCapture>(Duration::ZERO).unwrap().unwrap();
            let ToCapture::Apply { steps, .. } = message else { panic!("{message:?}") };
            for step in steps {
                match step {
                    Instruction::Targets { targets, .. } => arrived.extend(targets),
                    Instruction::Arm(order) => {
                        arrived.extend(order.targets);
                        armed = true;
                    }
                    Instruction::Bind(_) => {
                        assert!(armed, "armed first");
                        bound += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!((arrived == targets, bound), (true, 10_000));
    }
}
