//! LEA-CmC-Delivery: how the content of a session comes to the agency.

use rasn::prelude::*;

use super::{BareAddress, ContentIdentifier, Unknown};

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
pub struct LeaCmcDelivery {
    #[rasn(tag(explicit(0)))]
    pub content_identifier: ContentIdentifier,
    #[rasn(tag(explicit(1)))]
    pub delivery_identifier: DeliveryIdentifier,
    #[rasn(tag(explicit(2)))]
    pub cc_delivery_format: CcDeliveryFormat,
    pub unknown: Unknown,
}

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
#[rasn(choice)]
pub enum DeliveryIdentifier {
    #[rasn(tag(explicit(0)))]
    CccId(CccIdentity),
    #[rasn(tag(1))]
    CcAddress(CcAddress),
}

/// A type of T1.678, whose tags are not public. Its alternatives are, in this order, and J-STD-025 numbers them so.
#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
#[rasn(choice)]
pub enum CccIdentity {
    #[rasn(tag(0))]
    CombCcc(VisibleString),
    #[rasn(tag(1))]
    SepCccPair(CccPair),
    #[rasn(tag(2))]
    IndXmitCcc(VisibleString),
    #[rasn(tag(3))]
    IndRecvCcc(VisibleString),
    #[rasn(tag(4))]
    IndCcc(VisibleString),
}

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
pub struct CccPair {
    #[rasn(tag(0))]
    pub sep_xmit_ccc: VisibleString,
    #[rasn(tag(1))]
    pub sep_recv_ccc: VisibleString,
    pub unknown: Unknown,
}

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
pub struct CcAddress {
    #[rasn(tag(explicit(0)))]
    pub lea_ip_address: BareAddress,
    #[rasn(tag(1))]
    pub lea_port_number: Utf8String,
    pub unknown: Unknown,
}

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
#[rasn(choice)]
pub enum CcDeliveryFormat {
    #[rasn(tag(0))]
    ScteDatagram(()),
    #[rasn(tag(1))]
    Atis678Asn1(ObjectIdentifier),
    #[rasn(tag(2))]
    IasDatagram(()),
}
