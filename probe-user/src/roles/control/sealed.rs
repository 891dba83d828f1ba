//! Which cases have a key at destinations where nothing goes in the clear, as the deliver role tells it. A warrant of another
//! case is not taken: its records would wait for a key, and those of all other cases behind them.

use crate::config::Config;
use crate::ipc::SealedCases;
use std::collections::{HashMap, HashSet};
use writ_authority::Warrant;

/// By the destination's place in the configuration. Of a destination that is not here nothing is known yet.
#[derive(Default)]
pub(super) struct Sealed(HashMap<usize, Cases>);

enum Cases {
    All,
    These(HashSet<String>),
}

impl Sealed {
    /// The deliver role tells of a destination.
    pub(super) fn hear(&mut self, destination: usize, cases: SealedCases) {
        match (cases, self.0.get_mut(&destination)) {
            (SealedCases::All, _) => drop(self.0.insert(destination, Cases::All)),
            (SealedCases::Also(more), Some(Cases::These(liids))) => liids.extend(more),
            (SealedCases::These(liids) | SealedCases::Also(liids), _) => {
                self.0.insert(destination, Cases::These(liids.into_iter().collect()));
            }
        }
    }

    /// What of a warrant has no key.
    pub(super) fn lacking(&self, warrant: &Warrant, config: &Config) -> Vec<String> {
        let mut faults = Vec::new();
        for (index, delivery) in warrant.deliveries().iter().enumerate() {
            let place = config.destination_index(&delivery.destination);
            let cases = place.filter(|place| config.destination.get(*place).is_some_and(|it| it.encryption.is_some()));
            if let Some(Cases::These(liids)) = cases.and_then(|place| self.0.get(&place))
                && !liids.contains(delivery.case_id.as_str())
            {
                faults.push(format!(
                    "delivery[{index}].case_id: there is no key for it at destination {:?}, where nothing goes in the \
                     clear; add a line to the file of keys that `encryption` names, and restart the probe",
                    delivery.destination
                ));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const WARRANT: &str = include_str!("../../../../docs/examples/warrant.toml");

    #[test]
    fn a_case_without_a_key_is_refused_where_others_have_one() {
        let warrant = Warrant::parse(WARRANT.as_bytes(), Path::new("warrant.toml")).unwrap();
        let delivery = &warrant.deliveries()[0];
        let config = include_str!("../../../../docs/examples/writ.toml");
        let mut config = Config::parse(config).unwrap();
        let place = config.destination_index(&delivery.destination).unwrap();
        let mut sealed = Sealed::default();
        assert_eq!(sealed.lacking(&warrant, &config), [""; 0], "nothing is known yet");
        config.destination[place].encryption = Some(writ_delivery::EncryptionSettings { keys: "/keys".into() });
        let mut faults = |cases| {
            sealed.hear(place, cases);
            sealed.lacking(&warrant, &config)
        };
        let other = || vec!["ANOTHER".to_owned()];
        let refused = faults(SealedCases::These(other()));
        assert!(refused.len() == 1 && refused[0].starts_with("delivery[0].case_id: "), "{refused:?}");
        assert!(!refused[0].contains(delivery.case_id.as_str()));
        assert!(faults(SealedCases::Also(vec![delivery.case_id.as_str().to_owned()])).is_empty());
        assert_eq!(faults(SealedCases::These(other())).len(), 1, "the keys were read anew");
        assert!(faults(SealedCases::All).is_empty());
    }
}
