//! What the operator's officers ask for and allow: who must sign what, and what may go past the usual limits. It is part
//! of the roster, so signed by them like the roster.

use crate::calendar;
use crate::document::{self, Section, Wrong};
use crate::error::Fault;
use crate::grant::Authority;
use crate::limit::{LONGEST_EMERGENCY_HOURS, Limit};
use crate::link::{Vlan, VlanId};
use crate::quorum::{Quorum, Roles};
use crate::role::Role;
use crate::roster::Officer;
use crate::target::Wide;
use crate::warrant::Warrant;
use ipnet::IpNet;

/// Fewest people that must sign: nobody starts an intercept alone.
const FEWEST_APPROVALS: u32 = 2;
/// How many different roles they have, unless the policy says otherwise.
const USUAL_ROLES: u32 = 2;
/// Days for the certification, unless the policy says otherwise.
const USUAL_CERTIFY_DAYS: u32 = 7;
/// Hours before the deadline of an application at which its alarm begins, unless the policy says otherwise.
const USUAL_WARNING_HOURS: u32 = 12;

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

/// More than usual that some authorities ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// For warrants under these.
    pub authorities: Vec<Authority>,
    /// Who must sign. The usual quorum must be met beside it.
    pub quorum: Quorum,
}

/// How an emergency may begin before enough people have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnCall {
    /// One officer with one of these roles can let it begin.
    pub roles: Vec<Role>,
    /// Hours within which the others must have signed; without them it stops.
    pub second_within_hours: u32,
}

/// What becomes of an interception that runs, when a key of those who approved it is no longer in the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokedKey {
    /// It goes on.
    Keep,
    /// It stops, if the others who approved it are not enough.
    Stop,
}

impl RevokedKey {
    const ALL: &'static [Self] = &[Self::Keep, Self::Stop];

    /// The word that documents use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Stop => "stop",
        }
    }
}

/// The policy that warrants are held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Who must sign whatever the authority; also the next version of the roster.
    pub quorum: Quorum,
    /// Who must sign besides under some authorities.
    pub rules: Vec<Rule>,
    /// How an emergency may begin; `None`: with all signatures, like any other.
    pub emergency: Option<OnCall>,
    /// What the removal of a key means for what runs.
    pub revoked_key: RevokedKey,
    /// Days after activation within which the overseer must have signed the certification (47 CFR 1.20004).
    pub certify_within_days: u32,
    /// Hours before the deadline of the application that follows an emergency (18 USC 2518(7)) at which an alarm begins.
    pub application_warning_hours: u32,
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
            quorum: Quorum { approvals: FEWEST_APPROVALS, roles: Roles::Different(USUAL_ROLES) },
            rules: Vec::new(),
            emergency: None,
            revoked_key: RevokedKey::Keep,
            certify_within_days: USUAL_CERTIFY_DAYS,
            application_warning_hours: USUAL_WARNING_HOURS,
            wide_prefixes: Vec::new(),
            wide_vlans: Vec::new(),
            longer_windows: Vec::new(),
        }
    }
}

impl Policy {
    /// All that must be met for a warrant under `authority`.
    pub fn quorums(&self, authority: Authority) -> impl Iterator<Item = &Quorum> {
        let rules = self.rules.iter().filter(move |rule| rule.authorities.contains(&authority));
        std::iter::once(&self.quorum).chain(rules.map(|rule| &rule.quorum))
    }

    /// What `signers` lack for a warrant under `authority`, in words; nothing if they are enough.
    pub fn lacks(&self, authority: Authority, signers: &[&Officer]) -> Vec<String> {
        let mut lacks = Vec::new();
        for lack in self.quorums(authority).flat_map(|quorum| quorum.lacks(signers)) {
            if !lacks.contains(&lack) {
                lacks.push(lack);
            }
        }
        lacks
    }

    /// Everything in the warrant that goes past this policy. `before` is the revision before it, if there is one.
    pub fn faults(&self, warrant: &Warrant, before: Option<&Warrant>) -> Vec<Fault> {
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
        // What runs may run on to its stop, whatever the policy has become.
        let limit = Limit::of(warrant, before, self);
        if warrant.window().stop() > limit.stop && before.is_none_or(|it| warrant.window().stop() > it.window().stop())
        {
            let stop = calendar::show(limit.stop, warrant.calendar());
            let allow = match Limit::can_be_stretched(warrant.grant().authority()) {
                true => ", or have it allowed in the roster's policy.longer_window",
                false => "",
            };
            faults.push(Fault::new(
                "window.stop",
                format!("later than {}", limit.reason),
                format!("stop at {stop} at the latest{allow}"),
            ));
        }
        faults
    }

    pub(crate) fn read(mut section: Section, faults: &mut Vec<Fault>) -> Option<Self> {
        let usual = Self::default();
        let approvals = read_approvals(&mut section, faults);
        let roles = match section.has("roles") {
            true => section.count("roles", USUAL_ROLES, faults),
            false => Some(USUAL_ROLES),
        };
        if let (Some(approvals), Some(roles)) = (approvals, roles)
            && roles > approvals
        {
            let problem = format!("{roles} different roles of {approvals} people; a person counts for one");
            faults.push(Fault::new(section.path("roles"), problem, "ask for fewer roles or for more approvals"));
        }
        let revoked_key = match section.has("revoked_key") {
            true => section
                .parsed("revoked_key", "stop", faults, |it| document::word(it, RevokedKey::ALL, |it| it.as_str())),
            false => Some(usual.revoked_key),
        };
        let certify_within_days = match section.has("certify_within_days") {
            true => section.count("certify_within_days", USUAL_CERTIFY_DAYS, faults),
            false => Some(usual.certify_within_days),
        };
        let application_warning_hours = match section.has("application_warning_hours") {
            true => section.count("application_warning_hours", USUAL_WARNING_HOURS, faults),
            false => Some(usual.application_warning_hours),
        };
        let rules = section.sections_if_any("rule", faults);
        let rules = rules.into_iter().filter_map(|section| Rule::read(section, faults)).collect();
        let emergency = match section.has("emergency") {
            true => section.section("emergency", faults).map(|section| OnCall::read(section, faults)),
            false => None,
        };
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
        Some(Self {
            quorum: Quorum { approvals: approvals?, roles: Roles::Different(roles?) },
            rules,
            emergency: emergency.flatten(),
            revoked_key: revoked_key?,
            certify_within_days: certify_within_days?,
            application_warning_hours: application_warning_hours?,
            wide_prefixes,
            wide_vlans,
            longer_windows,
        })
    }

    /// Why nobody could ever meet this policy with these officers.
    pub(crate) fn out_of_reach(&self, officers: &[Officer]) -> Vec<Fault> {
        let everybody: Vec<_> = officers.iter().collect();
        let mut faults = Vec::new();
        let rules = self.rules.iter().enumerate().map(|(i, rule)| (format!("policy.rule[{}]", i + 1), &rule.quorum));
        for (field, quorum) in std::iter::once(("officer".to_owned(), &self.quorum)).chain(rules) {
            let lacks = quorum.lacks(&everybody);
            if !lacks.is_empty() {
                let problem = format!(
                    "the policy asks for {quorum}, and if all {} officers sign, still missing: {}",
                    officers.len(),
                    lacks.join(", ")
                );
                faults.push(Fault::new(field, problem, "name more officers, with these roles, or ask for less"));
            }
        }
        if let Some(on_call) = &self.emergency
            && !officers.iter().any(|officer| on_call.admits(officer))
        {
            let problem = "no officer has any of these roles";
            faults.push(Fault::new("policy.emergency.roles", problem, "give an officer one of them"));
        }
        faults
    }
}

fn read_approvals(section: &mut Section, faults: &mut Vec<Fault>) -> Option<u32> {
    if !section.has("approvals") {
        return Some(FEWEST_APPROVALS);
    }
    let approvals = section.count("approvals", FEWEST_APPROVALS, faults)?;
    if approvals < FEWEST_APPROVALS {
        let problem = "fewer than two people: nobody starts an intercept alone";
        faults.push(Fault::new(section.path("approvals"), problem, "write approvals = 2 or more"));
    }
    Some(approvals)
}

impl Rule {
    fn read(mut section: Section, faults: &mut Vec<Fault>) -> Option<Self> {
        let words = section.texts("authority", "[\"fisa-surveillance\"]", faults);
        let mut authorities = Vec::new();
        for (i, text) in words.iter().flatten().enumerate() {
            match document::authority(text) {
                Ok(authority) => authorities.push(authority),
                Err(wrong) => {
                    let field = format!("{}[{}]", section.path("authority"), i + 1);
                    faults.push(Fault::new(field, wrong.problem, wrong.remedy));
                }
            }
        }
        let approvals = read_approvals(&mut section, faults);
        let roles = match section.has("roles") {
            true => Role::read_all(&mut section, true, faults),
            false => Some(Vec::new()),
        };
        if let (Some(approvals), Some(roles)) = (approvals, &roles)
            && u32::try_from(roles.len()).is_ok_and(|roles| roles > approvals)
        {
            let problem = format!("{} roles and {approvals} approvals; a person fills one role", roles.len());
            let remedy = format!("write approvals = {} or name fewer roles", roles.len());
            faults.push(Fault::new(section.path("approvals"), problem, remedy));
        }
        section.finish(faults);
        words?;
        Some(Self { authorities, quorum: Quorum { approvals: approvals?, roles: Roles::Named(roles?) } })
    }
}

impl OnCall {
    /// Whether this officer can let an emergency begin.
    pub fn admits(&self, officer: &Officer) -> bool {
        self.roles.iter().any(|role| officer.roles.contains(role))
    }

    fn read(mut section: Section, faults: &mut Vec<Fault>) -> Option<Self> {
        let roles = Role::read_all(&mut section, false, faults);
        let hours = section.count("second_within_hours", 4, faults);
        if hours.is_some_and(|hours| hours > LONGEST_EMERGENCY_HOURS) {
            let problem = "longer than an emergency can last, so nobody would ever be asked";
            let remedy = format!("write {LONGEST_EMERGENCY_HOURS} or less");
            faults.push(Fault::new(section.path("second_within_hours"), problem, remedy));
        }
        section.finish(faults);
        Some(Self { roles: roles?, second_within_hours: hours? })
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
        let authority = section.parsed("authority", "pen-trap", faults, document::authority);
        let days = section.count("days", 90, faults);
        let reason = section.text("reason", "the circuit's standing order of 2026-01-10", faults);
        if authority.is_some_and(|authority| !Limit::can_be_stretched(authority)) {
            let problem = "the limit of emergencies and tests is fixed, no policy can stretch it";
            faults.push(Fault::new(section.path("authority"), problem, "remove this longer_window"));
        }
        section.finish(faults);
        Some(Self { authority: authority?, days: days?, reason: reason? })
    }
}
