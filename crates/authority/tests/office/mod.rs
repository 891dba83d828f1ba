//! A probe's state directory and the people who sign for it: Ada (legal), Ben (operations), Cleo (on call). Two of two
//! roles must sign. Their keys are made here, because a child process (ssh-keygen) of another test would hold the log's
//! lock for a moment.

use jiff::{SignedDuration, Timestamp};
use ssh_key::private::Ed25519Keypair;
use ssh_key::{HashAlg, LineEnding, PrivateKey};
use uuid::Uuid;
use writ_authority::{
    AMEND, APPROVE, Actor, Authority, Digest, HandedIn, Head, Namespace, Original, ProbeIdentity, Warrant,
};

pub(crate) const OPERATOR: &str = "ExampleNet";
pub(crate) const PROBE: &str = "pop3-probe1";

/// When everything begins.
pub(crate) fn start() -> Timestamp {
    "2026-11-20T14:00:00Z".parse().unwrap()
}

/// So many minutes after that.
pub(crate) fn minute(minutes: u64) -> Timestamp {
    start() + SignedDuration::from_mins(i64::try_from(minutes).unwrap())
}

pub(crate) fn identity() -> ProbeIdentity {
    ProbeIdentity { operator: OPERATOR.to_owned(), probe: PROBE.to_owned() }
}

pub(crate) fn actor() -> Actor {
    Actor { who: "mia".to_owned(), uid: 1000, pid: 4711 }
}

/// The officers' keys.
pub(crate) struct Office {
    keys: [PrivateKey; 3],
}

impl Office {
    pub(crate) fn new() -> Self {
        Self { keys: [1, 2, 3].map(|seed| PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))) }
    }

    /// The roster of this version.
    pub(crate) fn roster(&self, version: u32) -> String {
        let mut text = format!(
            "version = {version}\noperator = \"{OPERATOR}\"\n\n[policy]\napprovals = 2\nroles = 2\n\n\
             [policy.emergency]\nroles = [\"on-call\"]\nsecond_within_hours = 4\n"
        );
        for ((name, role), key) in [("Ada", "legal"), ("Ben", "operations"), ("Cleo", "on-call")].iter().zip(&self.keys)
        {
            let key = key.public_key().to_openssh().unwrap();
            text.push_str(&format!("\n[[officer]]\nname = {name:?}\nroles = [{role:?}]\nkeys = [{key:?}]\n"));
        }
        text
    }

    /// A signature over a document.
    pub(crate) fn signature(&self, text: &str, namespace: Namespace, signer: usize) -> Original {
        let signature = self.keys[signer].sign(namespace.as_str(), HashAlg::Sha512, text.as_bytes()).unwrap();
        Original::new(format!("{signer}.sig"), signature.to_pem(LineEnding::LF).unwrap())
    }

    /// A document with the signatures of these officers.
    pub(crate) fn handed(&self, text: &str, namespace: Namespace, signers: &[usize]) -> HandedIn {
        let signatures = signers.iter().map(|signer| self.signature(text, namespace, *signer)).collect();
        HandedIn { document: Original::new("document.toml", text), signatures }
    }
}

/// A warrant as its author writes it. The number is its UUID, and its target's address.
#[derive(Clone, Debug)]
pub(crate) struct Paper {
    pub(crate) number: u32,
    pub(crate) revision: u32,
    pub(crate) previous: Option<Digest>,
    pub(crate) authority: Authority,
    /// Under the court's order of this number.
    pub(crate) docket: u32,
    pub(crate) start: Timestamp,
    pub(crate) stop: Timestamp,
    /// The SHA-256 of the scanned order.
    pub(crate) scan: Digest,
}

impl Paper {
    /// The first revision of a warrant, under the court's first order.
    pub(crate) fn first(
        number: u32,
        authority: Authority,
        start: Timestamp,
        lasts: SignedDuration,
        scan: &[u8],
    ) -> Self {
        let (revision, previous, docket, scan) = (1, None, 1, Digest::of(scan));
        Self { number, revision, previous, authority, docket, start, stop: start + lasts, scan }
    }

    pub(crate) fn uuid(&self) -> Uuid {
        Uuid::from_u128(0x5b0f_8c7e_3a49_4b7c_9f1d_0000_0000_0000 + u128::from(self.number))
    }

    /// The number of the warrant with this UUID.
    pub(crate) fn number(uuid: Uuid) -> u32 {
        uuid.as_u128() as u32
    }

    /// What the next revision begins with.
    pub(crate) fn after(warrant: &Warrant) -> Self {
        Self {
            number: Self::number(warrant.uuid()),
            revision: warrant.revision() + 1,
            previous: Some(warrant.digest()),
            authority: warrant.grant().authority(),
            docket: warrant.order().docket.as_ref().map_or(1, |docket| docket[11..].parse().unwrap()),
            start: warrant.window().start(),
            stop: warrant.window().stop(),
            scan: warrant.order().sha256.unwrap(),
        }
    }

    /// For what it is signed.
    pub(crate) fn namespace(&self) -> Namespace {
        if self.revision == 1 { APPROVE } else { AMEND }
    }

    /// Its text, by somebody who saw this end of the log.
    pub(crate) fn text(&self, seen: Head) -> String {
        let Self { revision, authority, docket, start, stop, scan, .. } = self;
        let uuid = self.uuid();
        let previous = self.previous.map(|digest| format!("previous = \"{digest}\"\n")).unwrap_or_default();
        let of_court = match authority.has_court_order() {
            true => format!(
                "court = \"E.D. Example\"\njudge = \"Hon. A. Judge\"\ndocket = \"26-mc-0117-{docket}\"\n\
                 entered = \"2026-11-18\"\n"
            ),
            false => String::new(),
        };
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + self.number);
        format!(
            "uuid = \"{uuid}\"\nrevision = {revision}\n{previous}operator = \"{OPERATOR}\"\nprobe = \"{PROBE}\"\n\
             sign_by = \"2027-01-30T00:00:00Z\"\nauthority = \"{authority}\"\nscope = \"content\"\n\
             directions = \"both\"\n\n\
             [seen]\nrecord = {}\nhash = \"{}\"\n\n\
             [order]\n{of_court}served = \"2026-11-19\"\nserved_by = \"Special Agent B. Agent\"\n\
             served_how = \"in person, on paper\"\nsealed = true\nnon_disclosure = true\n\
             presented_by = \"Special Agent B. Agent\"\npresented_contact = \"+1 202 555 0117\"\n\
             verified_by = \"D. Clerk\"\nverified_how = \"called the agency's published number back\"\n\
             signed_by = \"Hon. A. Judge\"\nagency = \"FBI\"\nsha256 = \"{scan}\"\n\n\
             [window]\nstart = \"{start}\"\nstop = \"{stop}\"\n\n\
             [[target]]\naddress = \"{address}\"\nconfirmed_by = \"F. Osei\"\nconfirmed_on = \"2026-11-19\"\n\
             subscriber = \"account {address}\"\n\n\
             [[delivery]]\ndestination = \"agency\"\ncase_id = \"CASE-{}\"\nstreams = [\"cmii\", \"cmc\"]\n",
            seen.number, seen.hash, self.number
        )
    }
}

/// A revocation of a warrant.
pub(crate) fn revocation(warrant: &Warrant, kind: &str, seen: Head) -> String {
    format!(
        "uuid = \"{}\"\nrevision = {}\nwarrant = \"{}\"\noperator = \"{OPERATOR}\"\nprobe = \"{PROBE}\"\n\
         sign_by = \"2027-01-30T00:00:00Z\"\nreason = \"order withdrawn\"\nkind = \"{kind}\"\n\n\
         [seen]\nrecord = {}\nhash = \"{}\"\n",
        warrant.uuid(),
        warrant.revision(),
        warrant.digest(),
        seen.number,
        seen.hash
    )
}
