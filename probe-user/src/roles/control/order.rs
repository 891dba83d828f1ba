//! A warrant as the capture role gets it: numbers, times and the identifiers of the handover, and nothing else.

use crate::config::Config;
use crate::ipc::{ArmedDelivery, ArmedIntercept, ArmedTarget};
use writ_abi::SlotRef;
use writ_authority::{Directions, Force, Scope, Warrant, Window};
use writ_identity::{Bindings, FixedAddresses};

/// What the capture role has to know of what is in force; none as of [`order`].
pub(super) fn order_in_force(force: &Force, slot: SlotRef, config: &Config) -> Option<ArmedIntercept> {
    let order = order(force.warrant(), force.window, slot, config)?;
    let directions = force.directions();
    Some(ArmedIntercept {
        headers_only: force.scope() == Scope::Headers,
        from_subject: directions.is_some_and(Directions::from_target),
        to_subject: directions.is_some_and(Directions::to_target),
        targets: force.targets().into_iter().flat_map(|it| FixedAddresses.wants(it)).map(ArmedTarget::from).collect(),
        ..order
    })
}

/// What the capture role has to know of a warrant in a time of the register's. None if a destination of its is not in the
/// configuration any more: an account is kept by the places of the deliveries, so none may be left out.
pub fn order(warrant: &Warrant, window: Window, slot: SlotRef, config: &Config) -> Option<ArmedIntercept> {
    let grant = warrant.grant();
    let subscriber = warrant.targets().first().map(|target| target.subscriber.clone()).unwrap_or_default();
    Some(ArmedIntercept {
        slot: slot.into(),
        warrant: warrant.uuid(),
        revision: warrant.revision(),
        start_utc_ns: window.start_utc_ns(),
        stop_utc_ns: window.stop_utc_ns(),
        headers_only: grant.scope() == Scope::Headers,
        from_subject: grant.directions().from_target(),
        to_subject: grant.directions().to_target(),
        deliveries: warrant
            .deliveries()
            .iter()
            .map(|delivery| {
                Some(ArmedDelivery {
                    destination: config.destination_index(&delivery.destination)?,
                    case_id: delivery.case_id.as_str().to_owned(),
                    content_identifier: delivery.content_name().to_owned(),
                    cmii: delivery.streams.cmii(),
                    cmc: delivery.streams.cmc(),
                })
            })
            .collect::<Option<_>>()?,
        subscriber_identity: subscriber,
        targets: warrant.targets().iter().flat_map(|it| FixedAddresses.wants(it)).map(ArmedTarget::from).collect(),
    })
}
