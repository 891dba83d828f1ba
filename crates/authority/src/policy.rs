//! What the operator's officers allow beyond the defaults: part of the roster, so signed by them like the roster.

use crate::document::{Section, Wrong};
use crate::error::Fault;
use crate::grant::Authority;
use crate::link::{Vlan, VlanId};
use crate::target::Wide;
use crate::warrant::Warrant;
use ipnet::IpNet;

/// Fewest people that must sign: nobody starts an intercept alone.
const FEWEST_APPROVALS: u32 = 2;

/// A prefix that may be a target although it is wide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WidePrefix {
    /// The prefix; one inside it is allowed as well.
    pub prefix: IpNet,
    /// Why.
    pub reason: String,
}

/// A service provider's VLAN that may be a target with all that is behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WideVlan {
    /// The outer tag.
    pub outer: VlanId,
    /// Why.
    pub reason: String,
}

/// A window longer than the usual limit of an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongerWindow {
    /// The authority.
    pub authority: Authority,
    /// Longest window, in days.
    pub days: u32,
    /// Why.
    pub reason: String,
}

/// The policy that warrants are held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How many different people must sign.
    pub approvals: u32,
    /// Wide prefixes that may be targets.
    pub wide_prefixes: Vec<WidePrefix>,
    /// Outer VLANs that may be targets whole.
    pub wide_vlans: Vec<WideVlan>,
    /// Windows longer than usual.
    pub longer_windows: Vec<LongerWindow>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            approvals: FEWEST_APPROVALS,
            wide_prefixes: Vec::new(),
            wide_vlans: Vec::new(),
            longer_windows: Vec::new(),
        }
    }
}

impl Policy {
    /// Everything in the warrant that goes past this policy.
    pub fn faults(&self, warrant: &Warrant) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (i, target) in warrant.targets().iter().enumerate() {
            let fault = match target.wider_than_usual() {
                Some(Wide::Prefix { prefix, widest })
                    if !self.wide_prefixes.iter().any(|wide| wide.prefix.contains(&prefix)) =>
                {
                    Fault::new(
                        format!("target[{}].address", i + 1),
                        format!("wider than /{widest}, and the policy does not name it"),
                        "name a narrower prefix, or have it named in the roster's policy.wide_prefix",
                    )
                }
                Some(Wide::Vlan(outer)) if !self.wide_vlans.iter().any(|wide| wide.outer == outer) => Fault::new(
                    format!("target[{}].vlan", i + 1),
                    "everything behind an outer tag can be many subscribers, and the policy does not name it",
                    "name the inner tag too, or have it named in the roster's policy.wide_vlan",
                ),
                _ => continue,
            };
            faults.push(fault);
        }
        let authority = warrant.grant().authority();
        let longer = self.longer_windows.iter().filter(|longer| longer.authority == authority);
        let hours = longer.map(|longer| longer.days.saturating_mul(24)).fold(authority.longest_hours(), u32::max);
        if warrant.window().longer_than_hours(hours) {
            let stop = warrant.window().start().saturating_add(jiff::SignedDuration::from_hours(i64::from(hours)));
            let remedy = match (authority.is_emergency(), stop) {
                (false, Ok(stop)) => {
                    format!("stop at {stop} at the latest, or have it allowed in the roster's policy.longer_window")
                }
                (true, Ok(stop)) => format!("stop at {stop} at the latest"),
                (_, Err(_)) => "choose an earlier stop".to_owned(),
            };
            faults.push(Fault::new(
                "window.stop",
                format!("more than {hours} hours after the start, the longest under {authority}"),
                remedy,
            ));
        }
        faults
    }

    pub(crate) fn read(mut section: Section, faults: &mut Vec<Fault>) -> Option<Self> {
        let approvals = if section.has("approvals") {
            section.count("approvals", FEWEST_APPROVALS, faults)
        } else {
            Some(FEWEST_APPROVALS)
        };
        if approvals.is_some_and(|approvals| approvals < FEWEST_APPROVALS) {
            let problem = "fewer than two people: nobody starts an intercept alone";
            faults.push(Fault::new(section.path("approvals"), problem, "write approvals = 2 or more"));
        }
        let wide_prefixes = section
            .sections_if_any("wide_prefix", faults)
            .into_iter()
            .filter_map(|section| WidePrefix::read(section, faults))
            .collect();
        let wide_vlans = section
            .sections_if_any("wide_vlan", faults)
            .into_iter()
            .filter_map(|section| WideVlan::read(section, faults))
            .collect();
        let longer_windows = section
            .sections_if_any("longer_window", faults)
            .into_iter()
            .filter_map(|section| LongerWindow::read(section, faults))
            .collect();
        section.finish(faults);
        Some(Self { approvals: approvals?, wide_prefixes, wide_vlans, longer_windows })
    }
}

impl WidePrefix {
    fn read(mut section: Section, faults: &mut Vec<Fault>) -> Option<Self> {
        let prefix = section.parsed("prefix", "198.51.0.0/20", faults, |text| {
            let wrong = || Wrong::new("not a prefix", "write a prefix such as \"198.51.0.0/20\" or \"2001:db8::/40\"");
            let net: IpNet = text.parse().map_err(|_| wrong())?;
            if net != net.trunc() {
                let problem = "the address has bits set outside its prefix";
                return Err(Wrong::new(problem, format!("write \"{}\"", net.trunc())));
            }
            Ok(net)
        });
        let reason = section.text("reason", "one customer holds it whole", faults);
        section.finish(faults);
        Some(Self { prefix: prefix?, reason: reason? })
    }
}

impl WideVlan {
    fn read(mut section: Section, faults: &mut Vec<Fault>) -> Option<Self> {
        let outer = section.parsed("vlan", "200.*", faults, |text| match Vlan::parse(text)? {
            Vlan::Outer(outer) => Ok(outer),
            _ => Err(Wrong::new("not a whole outer VLAN", "write it as \"200.*\"; others need no permission")),
        });
        let reason = section.text("reason", "one customer has the whole service VLAN", faults);
        section.finish(faults);
        Some(Self { outer: outer?, reason: reason? })
    }
}

impl LongerWindow {
    fn read(mut section: Section, faults: &mut Vec<Fault>) -> Option<Self> {
        let authority = section.parsed("authority", "pen-trap", faults, crate::warrant::authority);
        let days = section.count("days", 90, faults);
        let reason = section.text("reason", "the circuit's standing order of 2026-01-10", faults);
        if authority.is_some_and(Authority::is_emergency) {
            let problem = "the law sets the limit of an emergency, no policy can stretch it";
            faults.push(Fault::new(section.path("authority"), problem, "remove this longer_window"));
        }
        section.finish(faults);
        Some(Self { authority: authority?, days: days?, reason: reason? })
    }
}
