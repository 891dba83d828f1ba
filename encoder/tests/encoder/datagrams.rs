//! The formats of a datagram a packet: OpenCALEA, CCC, Juniper's mirror header, TZSP.

use std::net::Ipv4Addr;

use crate::given::*;
use proptest::prelude::*;
use serde_json::json;
use writ_encoder::ccc::{self, Connection, Form, Layout};
use writ_encoder::jmirror::{self, Mirror, MirrorId};
use writ_encoder::opencalea::{self, Cmc, Ends, Length, Name, Tap};
use writ_encoder::tzsp::{self, Encapsulation, Sniffer, Tag};
use writ_encoder::{Malformed, NoRoom};

/// The two datagrams that the article of 2007 shows, from its own capture.
const SEED_CMC: &[u8] = include_bytes!("../data/opencalea-seed-cmc.bin");
const SEED_CMII: &[u8] = include_bytes!("../data/opencalea-seed-cmii.bin");

/// What `write` writes to a buffer of `room` octets.
fn written(room: usize, write: impl FnOnce(&mut [u8]) -> Result<usize, NoRoom>) -> Vec<u8> {
    let mut out = vec![0xee; room];
    let length = write(&mut out).unwrap();
    assert!(out[length..].iter().all(|octet| *octet == 0xee), "nothing is written behind the datagram");
    out.truncate(length);
    out
}

/// Datagrams of each format, by the name of its fuzz target.
pub(crate) fn by_target() -> [(&'static str, Vec<Vec<u8>>); 4] {
    let packet = packet(100);
    let ccc = [Form::Channel, Form::Timed, Form::Case(42)]
        .map(|form| written(200, |out| Connection::new(7, form).content(out, time(TIME), &packet)));
    let mirror = Mirror::new(MirrorId::new(7).unwrap(), 9);
    let tzsp = [Encapsulation::ETHERNET, Encapsulation::RAW_IP]
        .map(|encapsulation| written(200, |out| Sniffer::new(encapsulation).content(out, 7, &packet)));
    [
        ("opencalea", vec![SEED_CMC.to_vec(), SEED_CMII.to_vec()]),
        ("ccc", ccc.to_vec()),
        ("jmirror", vec![written(200, |out| mirror.content(out, &packet))]),
        ("tzsp", tzsp.to_vec()),
    ]
}

fn tap(length: Length) -> Tap {
    let name = |name| Name::new(name).unwrap();
    Tap::new(name("x"), name("y"), name("z"), length)
}

#[test]
fn the_seed_s_datagrams_are_read_and_written_again() {
    let cmc = opencalea::decode_cmc(SEED_CMC).unwrap();
    assert_eq!(cmc.content_id, "x");
    assert_eq!(cmc.timestamp, time(TIME));
    assert_eq!(cmc.payload.len(), 114);
    assert_eq!(written(400, |out| cmc.write(out)), SEED_CMC);
    assert_eq!(written(400, |out| tap(Length::Whole).cmc(out, time(TIME), cmc.payload)), SEED_CMC);

    let cmii = opencalea::decode_cmii(SEED_CMII).unwrap();
    assert_eq!(
        serde_json::to_value(cmii).unwrap(),
        json!({
            "content_id": "x",
            "case_id": "y",
            "iap_system_id": "z",
            "timestamp": "2007-04-19T17:26:28.406000Z",
            "filler": 0xbf,
            "stream_id": 0x0805_8000,
            "source": "69.143.202.28",
            "destination": "140.211.166.3",
            "source_port": 32_819,
            "destination_port": 6656,
            "length": 423,
        })
    );
    assert_eq!(written(424, |out| cmii.write(out)), SEED_CMII);

    // Our own differs in what the original left to chance.
    let mut ours = written(424, |out| tap(Length::Original).cmii(out, time(TIME), cmii.stream_id, &cmii.ends));
    assert_eq!(ours[407], 0);
    ours[407] = 0xbf;
    assert_eq!(ours, SEED_CMII);
}

#[test]
fn whole_cmii_has_the_port_whole() {
    let ends = Ends {
        source: Ipv4Addr::new(69, 143, 202, 28),
        destination: Ipv4Addr::new(140, 211, 166, 3),
        source_port: 32_819,
        destination_port: 6667,
    };
    let datagram = written(424, |out| tap(Length::Whole).cmii(out, time(TIME), 0, &ends));
    assert_eq!(datagram.len(), 424);
    let cmii = opencalea::decode_cmii(&datagram).unwrap();
    assert_eq!(cmii.ends, ends);
    assert_eq!(cmii.to_string(), "x, y, z, 2007-04-19T17:26:28.406, 69.143.202.28, 140.211.166.3, 32819, 6667");
    assert_eq!(tap(Length::Whole).cmii(&mut [0; 423], time(TIME), 0, &ends), Err(NoRoom));
    assert_eq!(
        opencalea::decode_cmii(&[&datagram[..], &[0]].concat()).unwrap_err().to_string(),
        "no OpenCALEA CmII datagram: octet 422: more than a destination port"
    );
    // A line break in a name would make two lines of one.
    let mut garbled = datagram.clone();
    garbled[129] = b'\n';
    assert_eq!(
        opencalea::decode_cmii(&garbled).unwrap_err().to_string(),
        "no OpenCALEA CmII datagram: octet 128: a name with a control character"
    );
    garbled[129] = 0;
    garbled[260] = b'x';
    assert_eq!(
        opencalea::decode_cmii(&garbled).unwrap_err().to_string(),
        "no OpenCALEA CmII datagram: octet 256: no time like 2007-04-19T17:26:28.406"
    );
}

#[test]
fn names_are_checked() {
    assert!(Name::new(&"n".repeat(127)).is_ok());
    assert!(Name::new(&"n".repeat(128)).is_err());
    assert!(Name::new("").is_err());
    assert!(Name::new("a\0b").is_err());
    assert!(MirrorId::new(MirrorId::LAST).is_ok());
    assert!(MirrorId::new(MirrorId::LAST + 1).is_err());
    assert_eq!(serde_json::from_str::<Name>("\"case\"").unwrap().as_str(), "case");
    assert!(serde_json::from_str::<Name>("\"\"").is_err());
}

/// The collector's `cmc.pcap`, read by another program.
#[test]
fn tshark_reads_the_collector_s_pcap() {
    let cmc = opencalea::decode_cmc(SEED_CMC).unwrap();
    let pcap = [&Cmc::PCAP_HEADER[..], &cmc.pcap_record().unwrap(), cmc.payload].concat();
    let fields = ["frame.time_epoch", "ip.src", "ip.dst", "tcp.dstport", "frame.protocols"];
    let Some(rows) = crate::tshark::fields("cmc.pcap", &pcap, &[], &fields) else { return };
    assert_eq!(rows[0][..4], ["1177003588.406000000", "69.143.202.28", "140.211.166.3", "6667"]);
    assert!(rows[0][4].starts_with("eth:"));
}

/// Each header as it stands in its standard, octet for octet.
#[test]
fn headers_by_hand() {
    let packet = [0x45, 0, 0, 0x14];
    let connection = |form| written(64, |out| Connection::new(0x0102_0304, form).content(out, time(500_000), &packet));
    assert_eq!(connection(Form::Channel), [1, 2, 3, 4, 0x45, 0, 0, 0x14]);
    // Half a second after 1970, in seconds since 1900 and parts of 2^32.
    let timed = [1, 2, 3, 4, 0x83, 0xaa, 0x7e, 0x80, 0x80, 0, 0, 0];
    assert_eq!(connection(Form::Timed), [&timed[..], &packet].concat());
    assert_eq!(connection(Form::Case(42)), [&timed[..], &[0, 0, 0, 0, 0, 0, 0, 42], &packet].concat());

    let mirror = Mirror::new(MirrorId::new(0x0102_0304).unwrap(), 0x0506_0708);
    assert_eq!(written(64, |out| mirror.content(out, &packet)), [1, 2, 3, 4, 5, 6, 7, 8, 0x45, 0, 0, 0x14]);

    let sniffer = Sniffer::new(Encapsulation::RAW_IP);
    let datagram = written(64, |out| sniffer.content(out, 0xffff_0000_0102, &packet));
    assert_eq!(datagram, [1, 0, 0, 7, 40, 4, 0, 0, 1, 2, 1, 0x45, 0, 0, 0x14]);
}

#[test]
fn what_other_senders_of_tzsp_put_in() {
    // A keep-alive; padding, a tag that is not read, the length before a cut.
    let keep_alive = tzsp::decode(&[1, 4, 0, 0, 1]).unwrap();
    assert_eq!((keep_alive.kind, keep_alive.payload), (4, &[][..]));
    let datagram = [1, 0, 0, 1, 0, 0, 10, 1, 200, 41, 2, 5, 220, 41, 1, 9, 1, 0xaa, 0xbb];
    let read = tzsp::decode(&datagram).unwrap();
    assert_eq!(
        read.tags.iter().collect::<Vec<_>>(),
        [Tag::Other { number: 10, value: &[200] }, Tag::OriginalLength(1500), Tag::Other { number: 41, value: &[9] },]
    );
    assert_eq!((read.encapsulation, read.payload), (Encapsulation::ETHERNET, &[0xaa, 0xbb][..]));
    assert_eq!(
        serde_json::to_value(read).unwrap()["tags"],
        json!([{ "other": { "number": 10, "value": "c8" } }, { "original-length": 1500 },
            { "other": { "number": 41, "value": "09" } }])
    );
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let said = |error: Malformed| error.to_string();
    assert_eq!(
        said(ccc::decode(Layout::Timed, &[0; 11]).unwrap_err()),
        "no CCC datagram: octet 11: ends within its header"
    );
    assert_eq!(
        said(jmirror::decode(&[0x40, 0, 0, 1, 0, 0, 0, 0, 0x45]).unwrap_err()),
        "no Juniper mirror datagram: octet 0: another form of header than 0"
    );
    assert_eq!(said(tzsp::decode(&[2, 0, 0, 1, 1]).unwrap_err()), "no TZSP datagram: octet 0: a version other than 1");
    assert_eq!(
        said(tzsp::decode(&[1, 0, 0, 1, 41, 200, 0]).unwrap_err()),
        "no TZSP datagram: octet 7: ends within its header"
    );
    assert_eq!(
        said(opencalea::decode_cmc(&[0; 150]).unwrap_err()),
        "no OpenCALEA CmC datagram: octet 128: ends within its header"
    );
}

fn any_packet() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![proptest::collection::vec(any::<u8>(), 0..200), (0..3000_usize).prop_map(packet)]
}

/// A time that CCC can tell: 1970 to 2104.
fn any_ntp_time() -> impl Strategy<Value = writ_encoder::UtcMicros> {
    (0..4_200_000_000_000_000_i64).prop_map(time)
}

proptest! {
    #[test]
    fn ccc_comes_back(id: u32, case: u64, time in any_ntp_time(), packet in any_packet()) {
        for (form, layout) in
            [(Form::Channel, Layout::Channel), (Form::Timed, Layout::Timed), (Form::Case(case), Layout::Case)]
        {
            let connection = Connection::new(id, form);
            let room = Connection::LONGEST_HEADER + packet.len();
            let datagram = written(room, |out| connection.content(out, time, &packet));
            let read = ccc::decode(layout, &datagram).unwrap();
            prop_assert_eq!((read.ccc_id, read.payload), (id, &packet[..]));
            prop_assert_eq!(read.timestamp, (layout != Layout::Channel).then_some(time));
            prop_assert_eq!(read.case_id, (layout == Layout::Case).then_some(case));
            let mut short = vec![0; datagram.len() - 1];
            prop_assert_eq!(connection.content(&mut short, time, &packet), Err(NoRoom));
        }
    }

    #[test]
    fn jmirror_and_tzsp_come_back(id in 0..=MirrorId::LAST, session: u32, sequence: u64, packet in any_packet()) {
        let mirror = Mirror::new(MirrorId::new(id).unwrap(), session);
        let datagram = written(Mirror::HEADER + packet.len(), |out| mirror.content(out, &packet));
        let read = jmirror::decode(&datagram).unwrap();
        prop_assert_eq!((read.mirror_id.get(), read.session_id, read.payload), (id, session, &packet[..]));

        let sniffer = Sniffer::new(Encapsulation::ETHERNET);
        let datagram = written(Sniffer::HEADER + packet.len(), |out| sniffer.content(out, sequence, &packet));
        let read = tzsp::decode(&datagram).unwrap();
        prop_assert_eq!((read.encapsulation, read.payload), (Encapsulation::ETHERNET, &packet[..]));
        prop_assert_eq!(read.tags.iter().collect::<Vec<_>>(), [Tag::PacketId(sequence as u32)]);
    }

    #[test]
    fn opencalea_comes_back(
        names in proptest::array::uniform3("[^\\p{C}]{1,31}"),
        time in any_time(),
        stream_id: u32,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        source_port: u16,
        destination_port: u16,
        frame in any_packet(),
    ) {
        let [content_id, case_id, iap_system_id] = names.each_ref().map(|name| Name::new(name).unwrap());
        let millis = writ_encoder::UtcMicros::new(time.unix_micros() / 1000 * 1000).unwrap();
        let ends = Ends { source, destination, source_port, destination_port };
        for length in [Length::Whole, Length::Original] {
            let tap = Tap::new(content_id.clone(), case_id.clone(), iap_system_id.clone(), length);
            let datagram = written(Tap::CMC_HEADER + frame.len(), |out| tap.cmc(out, time, &frame));
            let cmc = opencalea::decode_cmc(&datagram).unwrap();
            prop_assert_eq!((cmc.content_id, cmc.timestamp, cmc.payload), (&names[0][..], millis, &frame[..]));
            prop_assert_eq!(written(datagram.len(), |out| cmc.write(out)), datagram);

            let datagram = written(424, |out| tap.cmii(out, time, stream_id, &ends));
            let cmii = opencalea::decode_cmii(&datagram).unwrap();
            prop_assert_eq!([cmii.content_id, cmii.case_id, cmii.iap_system_id], names.each_ref().map(|name| &name[..]));
            prop_assert_eq!((cmii.timestamp, cmii.stream_id, cmii.length), (millis, stream_id, length));
            let lost = if length == Length::Original { destination_port & 0xff } else { 0 };
            prop_assert_eq!(cmii.ends, Ends { destination_port: destination_port - lost, ..ends });
            prop_assert_eq!(written(datagram.len(), |out| cmii.write(out)), datagram);
        }
    }

    #[test]
    fn noise_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..500), text: bool) {
        if text && bytes.len() > 150 {
            bytes[..151].copy_from_slice(&SEED_CMC[..151]);
        }
        for layout in [Layout::Channel, Layout::Timed, Layout::Case] {
            let _ = ccc::decode(layout, &bytes);
        }
        let _ = jmirror::decode(&bytes);
        let _ = tzsp::decode(&bytes).map(|read| read.tags.iter().count());
        let _ = opencalea::decode_cmc(&bytes).map(|read| read.pcap_record());
        let _ = opencalea::decode_cmii(&bytes).map(|read| read.to_string());
    }
}
