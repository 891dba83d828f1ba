//! Counts the packets of flows and says when a summary of one is due.
//!
//! A worker hands in what it saw of each packet that hit an order over headers; out come [`Summary`]s, which the encoder
//! makes reports of in place of one for every packet. What a flow is the caller says: the key is his, such as a slot and a
//! five-tuple. No clock: time is that of the packets, and of the caller where there are none.
//!
//! A crate of its own and no part of the encoder: summaries are a matter of more than one standard (T1.IAS and ETSI), and
//! this is state, with a hash table, where the encoder is bytes alone.
//!
//! Every packet is in one summary and no more: what pushes a flow out of the table, ends it or lets it fall silent makes a
//! summary of what was counted. The table has a fixed size, and everything in it is allocated when it is made. Keys come
//! from the wire, so they are hashed under a secret; nobody can choose flows that meet in one place.
#![forbid(unsafe_code)]

mod queue;

use std::hash::{BuildHasher, Hash, RandomState};
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use hashbrown::HashTable;
use queue::Queue;

/// When a flow is to be told of. What is counted is told at the latest when the flow falls silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// At its first packet.
    pub at_start: bool,
    /// At a packet that ends it.
    pub at_end: bool,
    /// When it has had no packet for so long; then it is over.
    pub idle_timeout: Duration,
    /// So long after it was told of last, if there were packets.
    pub period: Option<Duration>,
    /// At so many packets.
    pub packet_count: Option<NonZeroU64>,
    /// Most flows at once. Beyond, the one that was silent for longest is told of and forgotten.
    pub most_flows: NonZeroU32,
}

impl Default for Settings {
    /// At the end, after a minute of silence, and every five minutes; 65,536 flows.
    fn default() -> Self {
        const MOST_FLOWS: NonZeroU32 = NonZeroU32::new(65_536).unwrap();
        Self {
            at_start: false,
            at_end: true,
            idle_timeout: Duration::from_secs(60),
            period: Some(Duration::from_secs(300)),
            packet_count: None,
            most_flows: MOST_FLOWS,
        }
    }
}

/// What a packet says of its flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sign {
    /// Nothing.
    #[default]
    None,
    /// It begins: a TCP packet with SYN.
    Begin,
    /// It is over: a TCP packet with FIN or RST. What comes after it is counted still, and told when nothing more comes.
    End,
}

/// Why a flow is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Its first packet.
    Start,
    /// A packet that ended it.
    End,
    /// It fell silent.
    Idle,
    /// The time for it.
    Period,
    /// The number of its packets.
    PacketCount,
    /// It had to make room for another.
    Displaced,
    /// The caller asked for it.
    Closed,
}

/// What was counted of a flow since it was told of last. Times are those of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary<K> {
    /// The flow.
    pub key: K,
    /// Packets, at least one.
    pub packets: u64,
    /// Octets of them.
    pub octets: u64,
    /// The first of them, in nanoseconds.
    pub first_ns: u64,
    /// The last of them, in nanoseconds.
    pub last_ns: u64,
    /// Why it is told of.
    pub cause: Cause,
}

/// A flow that is counted.
#[derive(Clone, Copy, Debug)]
struct Entry<K> {
    key: K,
    packets: u64,
    octets: u64,
    first_ns: u64,
    last_ns: u64,
    /// When it was told of last, or began.
    told_ns: u64,
    /// A packet has ended it.
    is_over: bool,
}

/// The flows of one worker.
#[derive(Debug)]
pub struct Flows<K> {
    at_start: bool,
    at_end: bool,
    idle_ns: u64,
    period_ns: Option<u64>,
    packet_count: Option<NonZeroU64>,
    most_flows: usize,
    secret: (u64, SharedSeed),
    /// Places in `entries`, by key.
    table: HashTable<u32>,
    entries: Vec<Entry<K>>,
    /// Places in `entries` that are free.
    free: Vec<u32>,
    /// By the time of their last packet.
    by_silence: Queue,
    /// By the time at which they were told of.
    by_report: Queue,
    /// The latest time that was given.
    now_ns: u64,
}

impl<K: Copy + Eq + Hash> Flows<K> {
    /// A table without flows, and with room for all that there may be.
    pub fn new(settings: &Settings) -> Self {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // The standard library's keys come from the system's random numbers.
        let random = RandomState::new();
        let most_flows = settings.most_flows.get() as usize;
        Self {
            at_start: settings.at_start,
            at_end: settings.at_end,
            idle_ns: nanos(settings.idle_timeout),
            period_ns: settings.period.map(nanos),
            packet_count: settings.packet_count,
            most_flows,
            secret: (random.hash_one(0), SharedSeed::from_u64(random.hash_one(1))),
            // Removals leave marks behind. A table that is half full at most sweeps them out where it lies; one that is
            // fuller would grow.
            table: HashTable::with_capacity(2 * most_flows),
            entries: Vec::with_capacity(most_flows),
            free: Vec::with_capacity(most_flows),
            by_silence: Queue::with_capacity(most_flows),
            by_report: Queue::with_capacity(most_flows),
            now_ns: 0,
        }
    }

    /// Flows that are counted.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Counts a packet of so many octets. `emit` gets what is due: of this flow, of one that had to make room, of those
    /// whose time has come.
    pub fn packet(&mut self, key: K, octets: u32, time_ns: u64, sign: Sign, mut emit: impl FnMut(Summary<K>)) {
        self.advance(time_ns, &mut emit);
        let hash = hash(&self.secret, &key);
        let entries = &self.entries;
        let known = self.table.find(hash, |place| entries[*place as usize].key == key).copied();
        let begins = match known {
            // A new connection under the numbers of the one that is over.
            Some(place) if self.entries[place as usize].is_over && sign == Sign::Begin => {
                self.tell(place, Cause::End, &mut emit);
                self.entries[place as usize].is_over = false;
                Some(place)
            }
            Some(_) => None,
            None => Some(self.insert(hash, key, &mut emit)),
        };
        let Some(place) = begins.or(known) else { return };
        let now_ns = self.now_ns;
        let entry = &mut self.entries[place as usize];
        if entry.packets == 0 {
            entry.first_ns = now_ns;
        }
        entry.packets += 1;
        entry.octets += u64::from(octets);
        entry.last_ns = now_ns;
        self.by_silence.move_to_back(place);

        let packets = entry.packets;
        if sign == Sign::End && !entry.is_over {
            entry.is_over = true;
            if self.at_end {
                return self.tell(place, Cause::End, &mut emit);
            }
        }
        if begins.is_some() && self.at_start {
            self.tell(place, Cause::Start, &mut emit);
        } else if self.packet_count.is_some_and(|count| packets >= count.get()) {
            self.tell(place, Cause::PacketCount, &mut emit);
        }
    }

    /// Goes on to a time: flows that are silent for too long are over, and those whose period has passed are told of. To
    /// be called now and then, also where no packets come. A time before the latest one counts as that.
    pub fn advance(&mut self, time_ns: u64, mut emit: impl FnMut(Summary<K>)) {
        self.now_ns = self.now_ns.max(time_ns);
        while let Some(place) = self.by_silence.front()
            && self.now_ns - self.entries[place as usize].last_ns >= self.idle_ns
        {
            self.remove(place, Cause::Idle, &mut emit);
        }
        let Some(period_ns) = self.period_ns else { return };
        while let Some(place) = self.by_report.front()
            && self.now_ns - self.entries[place as usize].told_ns >= period_ns.max(1)
        {
            self.tell(place, Cause::Period, &mut emit);
        }
    }

    /// Tells of all flows for which `is_meant` holds, and forgets them: their order is over. Looks at each flow.
    pub fn close(&mut self, mut is_meant: impl FnMut(&K) -> bool, mut emit: impl FnMut(Summary<K>)) {
        let mut next = self.by_silence.front();
        while let Some(place) = next {
            next = self.by_silence.after(place);
            if is_meant(&self.entries[place as usize].key) {
                self.remove(place, Cause::Closed, &mut emit);
            }
        }
    }

    /// A place for a new flow.
    fn insert(&mut self, hash_of_key: u64, key: K, emit: &mut impl FnMut(Summary<K>)) -> u32 {
        if self.table.len() == self.most_flows
            && let Some(oldest) = self.by_silence.front()
        {
            self.remove(oldest, Cause::Displaced, emit);
        }
        let now = self.now_ns;
        let entry = Entry { key, packets: 0, octets: 0, first_ns: now, last_ns: now, told_ns: now, is_over: false };
        let place = match self.free.pop() {
            Some(place) => {
                self.entries[place as usize] = entry;
                place
            }
            None => {
                self.entries.push(entry);
                // No more than `most_flows`, which is a u32.
                (self.entries.len() - 1) as u32
            }
        };
        let (entries, secret) = (&self.entries, &self.secret);
        self.table.insert_unique(hash_of_key, place, |place| hash(secret, &entries[*place as usize].key));
        self.by_silence.push_back(place);
        self.by_report.push_back(place);
        place
    }

    /// Makes a summary of what was counted, if anything was, and begins to count anew.
    fn tell(&mut self, place: u32, cause: Cause, emit: &mut impl FnMut(Summary<K>)) {
        let entry = &mut self.entries[place as usize];
        entry.told_ns = self.now_ns;
        self.by_report.move_to_back(place);
        if entry.packets > 0 {
            let Entry { key, packets, octets, first_ns, last_ns, .. } = *entry;
            (entry.packets, entry.octets) = (0, 0);
            emit(Summary { key, packets, octets, first_ns, last_ns, cause });
        }
    }

    fn remove(&mut self, place: u32, cause: Cause, emit: &mut impl FnMut(Summary<K>)) {
        self.tell(place, cause, emit);
        let key_hash = hash(&self.secret, &self.entries[place as usize].key);
        if let Ok(found) = self.table.find_entry(key_hash, |other| *other == place) {
            found.remove();
        }
        self.by_silence.remove(place);
        self.by_report.remove(place);
        self.free.push(place);
    }
}

fn hash<K: Hash>((seed, shared): &(u64, SharedSeed), key: &K) -> u64 {
    use std::hash::Hasher as _;
    let mut hasher = FoldHasher::with_seed(*seed, shared);
    key.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flows come and go a thousand times over, and nothing grows.
    #[test]
    fn nothing_is_allocated_once_it_is_made() {
        let settings = Settings { most_flows: NonZeroU32::new(100).unwrap(), ..Settings::default() };
        let mut flows = Flows::new(&settings);
        let rooms = |flows: &Flows<u64>| {
            let queues = [&flows.by_silence, &flows.by_report].map(Queue::capacity);
            (flows.table.num_buckets(), flows.entries.capacity(), flows.free.capacity(), queues)
        };
        let at_first = rooms(&flows);
        for key in 0..100_000 {
            flows.packet(key, 60, key, Sign::None, |_| {});
            if key % 1000 == 0 {
                flows.close(|other| other % 3 == 0, |_| {});
            }
        }
        assert!(flows.len() <= 100);
        assert_eq!(rooms(&flows), at_first);
    }
}
