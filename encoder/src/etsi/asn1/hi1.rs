//! HI1NotificationOperations: that an intercept began, changed or ended.
#![expect(missing_docs, reason = "types and members bear the names that the standard gives them")]

use rasn::prelude::*;
use rasn::types::OctetString;

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
#[rasn(choice)]
pub enum Hi1Operation {
    #[rasn(tag(1))]
    LiActivated(Notification),
    #[rasn(tag(2))]
    LiDeactivated(Notification),
    #[rasn(tag(3))]
    LiModified(Notification),
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct Notification {
    #[rasn(tag(1))]
    pub lawful_interception_identifier: OctetString,
    #[rasn(tag(explicit(3)))]
    pub time_stamp: TimeStamp,
    #[rasn(tag(6))]
    pub target_information: Option<OctetString>,
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
#[rasn(choice)]
pub enum TimeStamp {
    #[rasn(tag(0))]
    LocalTime(LocalTimeStamp),
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct LocalTimeStamp {
    #[rasn(tag(0))]
    pub generalized_time: GeneralizedTime,
    #[rasn(tag(1))]
    pub winter_summer_indication: WinterSummerIndication,
}

#[derive(AsnType, Encode, Clone, Copy, Debug, PartialEq)]
#[rasn(enumerated)]
pub enum WinterSummerIndication {
    NotProvided = 0,
    WinterTime = 1,
    SummerTime = 2,
}
