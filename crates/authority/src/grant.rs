//! What an order grants: its authority, and within it the scope. The authority bounds the scope by type: a pen
//! register or a trap and trace device takes no contents (18 USC 3127), and there is no value here that says it does.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What is taken of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The whole packet.
    Content,
    /// Its headers; the content is cut off in the kernel.
    Headers,
}

/// Which packets are taken, seen from the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Directions {
    /// What the target sends.
    From,
    /// What comes to the target.
    To,
    /// Both.
    Both,
}

impl Directions {
    /// Whether packets that the target sends are taken.
    pub fn from_target(self) -> bool {
        matches!(self, Self::From | Self::Both)
    }

    /// Whether packets that come to the target are taken.
    pub fn to_target(self) -> bool {
        matches!(self, Self::To | Self::Both)
    }
}

/// The authorities that can grant content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Surveillance {
    /// An order under 18 USC 2518.
    TitleIii,
    /// An order under 50 USC 1805.
    Fisa,
    /// An order under the law of a state.
    State,
    /// Interception before the order, 18 USC 2518(7).
    Emergency2518,
    /// Consent of a party, 18 USC 2511(2)(c) and (d).
    Consent,
    /// The computer trespasser provision, 18 USC 2511(2)(i).
    Trespasser,
    /// A test on the operator's own test line, with its user's written consent.
    Test,
}

/// The authorities that grant headers in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PenTrap {
    /// An order under 18 USC 3123 for a pen register and a trap and trace device.
    Order,
    /// An order under 50 USC 1842.
    Fisa,
    /// Emergency installation before the order, 18 USC 3125.
    Emergency3125,
}

/// What an order grants: authority and scope together, so that neither can go past the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grant {
    /// Content, or less where the order says so.
    Surveillance {
        /// Under what.
        authority: Surveillance,
        /// The order's scope.
        scope: Scope,
        /// The order's directions.
        directions: Directions,
    },
    /// Headers of both directions, or of one where the order says so.
    PenTrap {
        /// Under what.
        authority: PenTrap,
        /// The order's directions.
        directions: Directions,
    },
    /// A pen register alone: headers of what the target sends.
    PenRegister,
    /// A trap and trace device alone: headers of what comes to the target.
    TrapAndTrace,
}

impl Grant {
    /// What `authority` grants with this scope and these directions, if it can grant that.
    pub fn new(authority: Authority, scope: Scope, directions: Directions) -> Result<Self, GrantError> {
        let surveillance = |authority| Ok(Self::Surveillance { authority, scope, directions });
        let pen_trap = |pen_trap| match scope {
            Scope::Content => Err(GrantError::Content(authority)),
            Scope::Headers => Ok(Self::PenTrap { authority: pen_trap, directions }),
        };
        let one_sided = |grant: Self| match scope {
            Scope::Content => Err(GrantError::Content(authority)),
            Scope::Headers if directions == grant.directions() => Ok(grant),
            Scope::Headers => Err(GrantError::Directions(authority, grant.directions())),
        };
        match authority {
            Authority::TitleIii => surveillance(Surveillance::TitleIii),
            Authority::FisaSurveillance => surveillance(Surveillance::Fisa),
            Authority::State => surveillance(Surveillance::State),
            Authority::Emergency2518 => surveillance(Surveillance::Emergency2518),
            Authority::Consent => surveillance(Surveillance::Consent),
            Authority::Trespasser => surveillance(Surveillance::Trespasser),
            Authority::Test => surveillance(Surveillance::Test),
            Authority::PenTrap => pen_trap(PenTrap::Order),
            Authority::FisaPenTrap => pen_trap(PenTrap::Fisa),
            Authority::Emergency3125 => pen_trap(PenTrap::Emergency3125),
            Authority::Pen => one_sided(Self::PenRegister),
            Authority::Trap => one_sided(Self::TrapAndTrace),
        }
    }

    /// The authority, as documents name it.
    pub fn authority(self) -> Authority {
        match self {
            Self::Surveillance { authority, .. } => match authority {
                Surveillance::TitleIii => Authority::TitleIii,
                Surveillance::Fisa => Authority::FisaSurveillance,
                Surveillance::State => Authority::State,
                Surveillance::Emergency2518 => Authority::Emergency2518,
                Surveillance::Consent => Authority::Consent,
                Surveillance::Trespasser => Authority::Trespasser,
                Surveillance::Test => Authority::Test,
            },
            Self::PenTrap { authority, .. } => match authority {
                PenTrap::Order => Authority::PenTrap,
                PenTrap::Fisa => Authority::FisaPenTrap,
                PenTrap::Emergency3125 => Authority::Emergency3125,
            },
            Self::PenRegister => Authority::Pen,
            Self::TrapAndTrace => Authority::Trap,
        }
    }

    /// What is taken of a packet.
    pub fn scope(self) -> Scope {
        match self {
            Self::Surveillance { scope, .. } => scope,
            Self::PenTrap { .. } | Self::PenRegister | Self::TrapAndTrace => Scope::Headers,
        }
    }

    /// Which packets are taken.
    pub fn directions(self) -> Directions {
        match self {
            Self::Surveillance { directions, .. } | Self::PenTrap { directions, .. } => directions,
            Self::PenRegister => Directions::From,
            Self::TrapAndTrace => Directions::To,
        }
    }
}

/// A scope that goes past its authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The authority never reaches content.
    #[error("{0} takes no contents (18 USC 3127)")]
    Content(Authority),
    /// The authority reaches one direction only.
    #[error("{0} reaches only the direction \"{1}\"")]
    Directions(Authority, Directions),
}

macro_rules! words {
    ($type:ident { $($name:ident = $word:literal),+ $(,)? }) => {
        impl $type {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The word that documents use.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// The kinds of authority that an order can rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Authority {
    /// An order under 18 USC 2518.
    #[serde(rename = "title-iii")]
    TitleIii,
    /// A pen register and a trap and trace device, 18 USC 3123.
    #[serde(rename = "pen-trap")]
    PenTrap,
    /// A pen register alone, 18 USC 3123.
    #[serde(rename = "pen")]
    Pen,
    /// A trap and trace device alone, 18 USC 3123.
    #[serde(rename = "trap")]
    Trap,
    /// An order under 50 USC 1805.
    #[serde(rename = "fisa-surveillance")]
    FisaSurveillance,
    /// An order under 50 USC 1842.
    #[serde(rename = "fisa-pen-trap")]
    FisaPenTrap,
    /// An order under the law of a state.
    #[serde(rename = "state")]
    State,
    /// Interception before the order, 18 USC 2518(7).
    #[serde(rename = "emergency-2518")]
    Emergency2518,
    /// Emergency pen register or trap and trace, 18 USC 3125.
    #[serde(rename = "emergency-3125")]
    Emergency3125,
    /// Consent of a party.
    #[serde(rename = "consent")]
    Consent,
    /// The computer trespasser provision, 18 USC 2511(2)(i).
    #[serde(rename = "trespasser")]
    Trespasser,
    /// A test on the operator's own test line, with its user's written consent: no interception for anybody.
    #[serde(rename = "test")]
    Test,
}

words!(Authority {
    TitleIii = "title-iii",
    PenTrap = "pen-trap",
    Pen = "pen",
    Trap = "trap",
    FisaSurveillance = "fisa-surveillance",
    FisaPenTrap = "fisa-pen-trap",
    State = "state",
    Emergency2518 = "emergency-2518",
    Emergency3125 = "emergency-3125",
    Consent = "consent",
    Trespasser = "trespasser",
    Test = "test",
});
words!(Scope { Content = "content", Headers = "headers" });
words!(Directions { From = "from", To = "to", Both = "both" });

impl Authority {
    /// Whether there is an order of a court yet; without one there is no judge and no docket to name.
    pub fn has_court_order(self) -> bool {
        !matches!(self, Self::Emergency2518 | Self::Emergency3125 | Self::Consent | Self::Trespasser | Self::Test)
    }

    /// Whether it is an emergency authority, whose limit no policy can stretch.
    pub fn is_emergency(self) -> bool {
        matches!(self, Self::Emergency2518 | Self::Emergency3125)
    }

    /// Whether it is the operator's own test, which goes to no agency.
    pub fn is_test(self) -> bool {
        self == Self::Test
    }
}
