//! What the counters of a survey mean: an answer to each question about a tap, in words, and what to change. A pure
//! function; every figure in it is a count or a share.

use super::{SurveyCounts, SurveyedPort};
use crate::settings::Tunnel;
use serde::Serialize;
use std::time::Duration;
use writ_abi::SurveyCounter as C;

/// Fewer flows, or packets, than this say nothing.
const LEAST: u64 = 10;
/// Shares from which something is the rule, and up to which it is the exception.
const MOST: f64 = 0.8;
const FEW: f64 = 0.2;
/// Shares from which a fault is told with a remedy: duplicates, and loss before the probe.
const DUPLICATES: f64 = 0.005;
const LOSS: f64 = 0.001;

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was asked.
    pub question: &'static str,
    /// The answer, with the figures that it rests on.
    pub verdict: String,
    /// What to do about it; empty if nothing.
    pub remedy: String,
}

/// Answers every question.
pub fn findings(counts: &SurveyCounts, ports: &[SurveyedPort], time: Duration) -> Vec<Finding> {
    let it = Judge { counts, ports };
    if counts.get(C::Frames) == 0 {
        return vec![Finding {
            question: "Traffic",
            verdict: "none: not a frame came".to_owned(),
            remedy: "check the mirror's configuration, the cable and the optics".to_owned(),
        }];
    }
    vec![
        it.traffic(time),
        it.directions(),
        it.loss(),
        it.duplicates(),
        it.tags(),
        it.link_layer(),
        it.internet(),
        it.tunnel(),
        it.sizes(),
        it.cut(),
        it.signalling(),
    ]
}

struct Judge<'a> {
    counts: &'a SurveyCounts,
    ports: &'a [SurveyedPort],
}

impl Judge<'_> {
    fn get(&self, counter: C) -> u64 {
        self.counts.get(counter)
    }

    /// The share of a counter in all frames.
    fn of_frames(&self, counter: C) -> f64 {
        share(self.get(counter), self.get(C::Frames))
    }

    /// Those of some counters that are not 0, by name, with their share in all frames.
    fn seen(&self, counters: &[(C, &str)]) -> Vec<String> {
        let seen = counters.iter().filter(|(counter, _)| self.get(*counter) > 0);
        seen.map(|(counter, name)| format!("{name} {}", percent(self.of_frames(*counter)))).collect()
    }

    fn traffic(&self, time: Duration) -> Finding {
        let seconds = time.as_secs_f64().max(0.001);
        let (frames, bytes) = (self.get(C::Frames), self.get(C::Bytes));
        // What is shown has three digits; the conversion's loss is far below them.
        let (rate, bits) = (frames as f64 / seconds, bytes as f64 * 8.0 / seconds / 1e6);
        finding("Traffic", format!("{frames} frames, {rate:.0} a second, {bits:.1} Mbit/s"))
    }

    fn directions(&self) -> Finding {
        let question = "Both directions";
        let (flows, both) = (self.get(C::TcpFlows), self.get(C::TcpFlowsBoth));
        if flows < LEAST {
            return finding(question, format!("cannot be told: {flows} TCP flows are too few; survey for longer"));
        }
        let part = share(both, flows);
        let segments = share(self.get(C::TcpSegmentsBoth), self.get(C::TcpSegments));
        let figures = format!("{} of {flows} TCP flows, with {} of their segments", percent(part), percent(segments));
        if part >= MOST {
            finding(question, format!("yes, {figures}"))
        } else if part <= FEW {
            Finding {
                question,
                verdict: format!("no: both are seen of {figures}"),
                remedy: "survey the ports of both fibres together, each a [[capture]] section; on a mirror port, let \
                         the mirror copy what is received and what is sent"
                    .to_owned(),
            }
        } else {
            Finding {
                question,
                verdict: format!("in part: of {figures}"),
                remedy: "look for a mirror that copies one direction of some ports, or for traffic that goes another \
                         way back; what does not pass here cannot be intercepted here"
                    .to_owned(),
            }
        }
    }

    fn loss(&self) -> Finding {
        let question = "Loss before the probe";
        let (seen, unseen) = (self.get(C::TcpBytes), self.get(C::TcpUnseen).saturating_sub(self.get(C::TcpLate)));
        if seen == 0 {
            return finding(question, "cannot be told: no TCP flow was seen in both directions".to_owned());
        }
        let part = share(unseen, seen + unseen);
        let verdict = format!(
            "{} of what TCP receivers acknowledged was not seen here ({unseen} of {} bytes)",
            percent(part),
            seen + unseen
        );
        let remedy = if part >= LOSS {
            "the mirror loses packets: it copies more than the port carries, or copies some traffic only; mirror \
             fewer ports to this one, or use an optical tap. (Traffic that takes several ways, of which one passes \
             here, looks the same.)"
        } else {
            ""
        };
        Finding { question, verdict, remedy: remedy.to_owned() }
    }

    fn duplicates(&self) -> Finding {
        let question = "Duplicates";
        let steps = [
            (C::DuplicateIn100us, 100),
            (C::DuplicateIn1ms, 1_000),
            (C::DuplicateIn10ms, 10_000),
            (C::DuplicateIn100ms, 100_000),
        ];
        let compared = self.get(C::Compared);
        if compared < LEAST {
            return finding(question, format!("cannot be told: only {compared} packets say which they are"));
        }
        let all: u64 = steps.iter().map(|(counter, _)| self.get(*counter)).sum();
        if all == 0 {
            return finding(question, format!("none among {compared} packets"));
        }
        let distances: Vec<String> = steps
            .iter()
            .zip(["0.1", "1", "10", "100"])
            .filter(|((counter, _), _)| self.get(*counter) > 0)
            .map(|((counter, _), ms)| format!("{} within {ms} ms", percent(share(self.get(*counter), all))))
            .collect();
        let part = share(all, compared);
        let verdict = format!(
            "{} of {compared} packets came before ({}; {} as the same frame, {} with another time to live)",
            percent(part),
            distances.join(", "),
            percent(share(self.get(C::DuplicateSame), all)),
            percent(share(self.get(C::DuplicateRouted), all)),
        );
        if part < DUPLICATES {
            return finding(question, verdict);
        }
        // As wide as takes nearly all of them.
        let mut sum = 0;
        let window = steps.iter().find(|(counter, _)| {
            sum += self.get(*counter);
            share(sum, all) >= 0.99
        });
        let window = window.map_or(100_000, |(_, us)| *us);
        Finding {
            question,
            verdict,
            remedy: format!(
                "let the mirror copy one side of each way only (ingress, or egress), or write duplicates = \"drop\" \
                 and duplicate_window_us = {window} in the port's [[capture]] section"
            ),
        }
    }

    fn tags(&self) -> Finding {
        let question = "VLAN tags";
        let mut seen = self.seen(&[(C::OneTag, "one in"), (C::TwoTags, "two in"), (C::ThreeTags, "three in")]);
        seen.extend(self.seen(&[(C::MoreTags, "more than are walked in")]));
        let kinds = self.seen(&[(C::CustomerTag, "802.1Q"), (C::ServiceTag, "802.1ad"), (C::OldServiceTag, "0x9100")]);
        let verdict = if seen.is_empty() {
            "none".to_owned()
        } else {
            format!("{} of the frames; outermost: {}", seen.join(", "), kinds.join(", "))
        };
        let stripping: Vec<&str> = self
            .ports
            .iter()
            .filter(|port| port.strips_tags == Some(true))
            .map(|port| port.settings.interface.as_str())
            .collect();
        let remedy = if stripping.is_empty() {
            String::new()
        } else {
            let commands: Vec<String> =
                stripping.iter().map(|name| format!("`ethtool -K {name} rxvlan off`")).collect();
            format!("the NIC takes the outermost tag off before anybody sees it: {}", commands.join(", "))
        };
        Finding { question, verdict, remedy }
    }

    fn link_layer(&self) -> Finding {
        let seen = self.seen(&[(C::Mpls, "MPLS"), (C::PppoeSession, "PPPoE"), (C::Llc, "LLC")]);
        let also = if seen.is_empty() { "Ethernet alone".to_owned() } else { seen.join(", ") };
        finding("Below IP", also)
    }

    fn internet(&self) -> Finding {
        let seen = self.seen(&[
            (C::Ipv4, "IPv4"),
            (C::Ipv6, "IPv6"),
            (C::NotIp, "no IP"),
            (C::Unreadable, "headers too deep, cut off or contradictory"),
        ]);
        let fragments = percent(self.of_frames(C::Fragments));
        finding("IP", format!("{}; fragments {fragments}", seen.join(", ")))
    }

    fn tunnel(&self) -> Finding {
        let question = "Mirror tunnel";
        let kinds = [
            (C::Gre, "GRE", "gre"),
            (C::Erspan, "ERSPAN", "erspan"),
            (C::Vxlan, "VXLAN", "vxlan"),
            (C::Tzsp, "TZSP", "tzsp"),
        ];
        if self.ports.iter().any(|port| port.settings.tunnel != Tunnel::None) {
            return finding(question, "opened, as `tunnel` says".to_owned());
        }
        let most = kinds.iter().find(|(counter, ..)| self.of_frames(*counter) >= 0.5);
        if let Some((counter, name, setting)) = most {
            return Finding {
                question,
                verdict: format!("yes: {} of the frames are {name}", percent(self.of_frames(*counter))),
                remedy: format!(
                    "if the mirror sends them to this port, write tunnel = \"{setting}\" in its [[capture]] section and \
                     survey again: all else here is about the tunnel and not about what is in it"
                ),
            };
        }
        let seen = self.seen(&kinds.map(|(counter, name, _)| (counter, name)));
        finding(
            question,
            if seen.is_empty() { "none".to_owned() } else { format!("no; tunnels pass: {}", seen.join(", ")) },
        )
    }

    fn sizes(&self) -> Finding {
        let seen = self.seen(&[
            (C::UpTo127, "up to 127 bytes"),
            (C::UpTo511, "up to 511"),
            (C::UpTo1023, "up to 1023"),
            (C::UpTo1526, "up to 1526"),
            (C::Longer, "longer"),
        ]);
        let remedy = if self.get(C::Longer) > 0 {
            "there are jumbo frames: raise the port's MTU above the longest, and see the manual on frames that are \
             larger than one buffer"
        } else {
            ""
        };
        Finding {
            question: "Frame sizes",
            verdict: format!("longest {} bytes; {}", self.get(C::Longest), seen.join(", ")),
            remedy: remedy.to_owned(),
        }
    }

    fn cut(&self) -> Finding {
        let question = "Cut frames";
        match self.get(C::Truncated) {
            0 => finding(question, "none".to_owned()),
            _ => Finding {
                question,
                verdict: format!("{} are shorter than their IP packet", percent(self.of_frames(C::Truncated))),
                remedy: "the mirror cuts what it copies: switch that off (truncation, snap length); what is cut off \
                         reaches no agency"
                    .to_owned(),
            },
        }
    }

    fn signalling(&self) -> Finding {
        let kinds = [
            (C::Radius, "RADIUS"),
            (C::DhcpV4, "DHCPv4"),
            (C::DhcpV6, "DHCPv6"),
            (C::PppoeDiscovery, "PPPoE discovery"),
            (C::Diameter, "Diameter"),
            (C::L2tp, "L2TP"),
            (C::GtpC, "GTP-C"),
        ];
        let seen: Vec<String> = kinds
            .iter()
            .filter(|(counter, _)| self.get(*counter) > 0)
            .map(|(counter, name)| format!("{name} ({} messages)", self.get(*counter)))
            .collect();
        let verdict = if seen.is_empty() {
            "none: who has which address cannot be learned here".to_owned()
        } else {
            seen.join(", ")
        };
        finding("Signalling", verdict)
    }
}

fn finding(question: &'static str, verdict: String) -> Finding {
    Finding { question, verdict, remedy: String::new() }
}

/// A part of a whole; 0 of nothing.
fn share(part: u64, whole: u64) -> f64 {
    // Shares are shown with three digits; the conversion's loss is far below them.
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Never "0 %" of what there is, and never "100 %" of what is not all.
fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0 %".to_owned(),
        part if part < 0.01 => "under 0.01 %".to_owned(),
        part if part < 1.0 => format!("{part:.2} %"),
        part if part < 10.0 => format!("{part:.1} %"),
        part if part < 100.0 => format!("{} %", part.floor()),
        _ => "100 %".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::PortSettings;
    use writ_abi::SurveyCounters;

    fn judged(counters: &[(C, u64)], port: SurveyedPort) -> Vec<Finding> {
        let mut counts = SurveyCounts(SurveyCounters([0; SurveyCounters::PLACES]));
        for (counter, count) in counters {
            counts.0.0[*counter as usize] = *count;
        }
        findings(&counts, &[port], Duration::from_secs(10))
    }

    fn port() -> SurveyedPort {
        SurveyedPort { settings: PortSettings::named("tap0"), strips_tags: Some(false) }
    }

    fn answer<'a>(findings: &'a [Finding], question: &str) -> &'a Finding {
        findings.iter().find(|finding| finding.question == question).unwrap()
    }

    #[test]
    fn a_good_tap_asks_for_nothing() {
        let counts = [
            (C::Frames, 1000),
            (C::Ipv4, 1000),
            (C::UpTo127, 1000),
            (C::TcpFlows, 100),
            (C::TcpFlowsBoth, 97),
            (C::TcpSegments, 1000),
            (C::TcpSegmentsBoth, 990),
            (C::TcpBytes, 1_000_000),
            (C::TcpUnseen, 10_000),
            (C::TcpLate, 9_900),
            (C::Compared, 900),
        ];
        let found = judged(&counts, port());
        assert!(found.iter().all(|finding| finding.remedy.is_empty()), "{found:?}");
        let both = answer(&found, "Both directions");
        assert_eq!(both.verdict, "yes, 97 % of 100 TCP flows, with 99 % of their segments");
        assert!(answer(&found, "Loss before the probe").verdict.starts_with("under 0.01 %"));
    }

    #[test]
    fn each_fault_has_its_remedy() {
        let few = [(C::Frames, 100), (C::TcpFlows, 20), (C::TcpFlowsBoth, 1)];
        let half = [(C::Frames, 100), (C::TcpFlows, 20), (C::TcpFlowsBoth, 10)];
        let wrapped = [(C::Frames, 100), (C::Erspan, 90)];
        let lossy = [(C::Frames, 100), (C::TcpBytes, 900), (C::TcpUnseen, 150), (C::TcpLate, 50)];
        let twice = [(C::Frames, 100), (C::Compared, 100), (C::DuplicateIn100us, 30), (C::DuplicateIn1ms, 20)];
        type Case<'a> = (&'a [(C, u64)], &'a str, &'a str, &'a str);
        let cases: [Case<'_>; 7] = [
            (&few, "Both directions", "no: ", "both fibres"),
            (&half, "Both directions", "in part", "one direction of some ports"),
            (&wrapped, "Mirror tunnel", "90 %", "tunnel = \"erspan\""),
            (&lossy, "Loss before the probe", "10 % of", "optical tap"),
            (&twice, "Duplicates", "50 %", "duplicate_window_us = 1000"),
            (&[(C::Frames, 100), (C::Longer, 1)], "Frame sizes", "longer 1.0 %", "MTU"),
            (&[(C::Frames, 100), (C::Truncated, 50)], "Cut frames", "50 %", "snap length"),
        ];
        for (counts, question, verdict, remedy) in cases {
            let found = judged(counts, port());
            let found = answer(&found, question);
            assert!(found.verdict.contains(verdict) && found.remedy.contains(remedy), "{found:?}");
        }
        let stripping = SurveyedPort { strips_tags: Some(true), ..port() };
        let found = judged(&[(C::Frames, 1)], stripping);
        assert!(answer(&found, "VLAN tags").remedy.contains("ethtool -K tap0 rxvlan off"));
    }

    #[test]
    fn what_cannot_be_told_is_not_told() {
        let found = judged(&[(C::Frames, 5), (C::TcpFlows, 3), (C::TcpFlowsBoth, 3)], port());
        for question in ["Both directions", "Loss before the probe", "Duplicates"] {
            assert!(answer(&found, question).verdict.starts_with("cannot be told"), "{found:?}");
        }
        assert_eq!(judged(&[], port()).len(), 1);
    }
}
