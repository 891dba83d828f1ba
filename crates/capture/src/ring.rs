//! A queue of a live interface as a source: its AF_XDP socket, the rings, and the memory behind them. In every loop it
//! first gives back what the worker is done with, then takes what has come; it sleeps only when there is nothing.

use crate::busy_poll::{BusyPoll, polling};
use crate::frames::{FramePool, Rings};
use crate::kernel::KernelError;
use crate::prefetch::{HEAD, prefetch};
use crate::settings::{BindMode, PortSettings};
use crate::source::{After, Batch, Located, Memory, Source, SourceError, SourceStatistics};
use std::error::Error;
use std::io;
use std::mem;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, RawFd};
use std::thread;
use std::time::{Duration, Instant};
use xsk_rs::config::{BindFlags, Interface, LibxdpFlags, QueueSize, SocketConfig, UmemConfig};
use xsk_rs::{FillQueue, FrameDesc, RxQueue, Socket, Umem};

/// The kernel frees a closed socket's queue a moment after the close: how often and how long to wait for that.
const BUSY_TRIES: u32 = 40;
const BUSY_WAIT: Duration = Duration::from_millis(50);

/// So many frames ahead of the one that is looked at, the next one's beginning is asked for.
const AHEAD: usize = 16;

/// An AF_XDP socket on one receive queue.
pub struct RingSource {
    interface: String,
    queue: u32,
    pool: FramePool,
    rings: XskRings,
    umem: Umem,
    located: Vec<Located>,
    spin: Duration,
    busy_poll: Option<BusyPoll>,
    pause: Duration,
    next_number: u64,
    /// The frames to come are of a packet that was too long and is not taken.
    in_overlong: bool,
    counts: SourceStatistics,
}

struct XskRings {
    receive: RxQueue,
    fill: FillQueue,
}

impl Rings for XskRings {
    fn fill(&mut self, frames: &[FrameDesc]) -> usize {
        // SAFETY: the frames are of the memory that the ring belongs to, and free: the pool is their only owner.
        unsafe { self.fill.produce(frames) }
    }

    fn receive(&mut self, frames: &mut [FrameDesc]) -> usize {
        // SAFETY: what the descriptors name is replaced by frames of the memory that the ring belongs to.
        unsafe { self.receive.consume(frames) }
    }
}

impl RingSource {
    /// Binds a socket to a queue and fills its ring, so that the program may redirect into it.
    pub(crate) fn bind(interface: &str, queue: u32, settings: &PortSettings) -> Result<Self, KernelError> {
        let ring = &settings.ring;
        let refuse = |problem: String, remedy: &str| KernelError::Bind {
            interface: interface.to_owned(),
            queue,
            problem,
            remedy: remedy.to_owned(),
        };
        settings.validate().map_err(|error| refuse(error.to_string(), "correct its section [[capture]]"))?;
        let unfit = |error: &dyn Error| refuse(chain(error), "correct the section [capture.ring]");
        let size = |frames: u32| QueueSize::new(frames).map_err(|error| unfit(&error));
        let frame_size = ring.frame_size.try_into().map_err(|error: xsk_rs::config::FrameSizeError| unfit(&error))?;

        let umem_config = UmemConfig::builder()
            .frame_size(frame_size)
            .fill_queue_size(size(ring.frames)?)
            .comp_queue_size(size(64)?)
            .build()
            .map_err(|error| unfit(&error))?;
        let count = NonZeroU32::new(ring.frames).unwrap_or(NonZeroU32::MIN);
        let (umem, frames) = Umem::new(umem_config, count, false).map_err(|error| match os_error(&error) {
            Some(libc::ENOBUFS | libc::ENOMEM) => refuse(
                format!(
                    "{} bytes of frame memory cannot be locked",
                    u64::from(ring.frames) * u64::from(ring.frame_size)
                ),
                "raise the limit (`ulimit -l`, LimitMEMLOCK=infinity), give CAP_IPC_LOCK, or lower ring.frames",
            ),
            Some(libc::EPERM) => refuse("AF_XDP is not permitted".to_owned(), "give CAP_NET_RAW"),
            Some(libc::EAFNOSUPPORT) => {
                refuse("this kernel has no AF_XDP".to_owned(), "use a kernel with CONFIG_XDP_SOCKETS")
            }
            _ => refuse(chain(&error), "see `writ doctor`"),
        })?;

        let mut flags = match settings.bind {
            BindMode::Copy => BindFlags::XDP_COPY,
            BindMode::ZeroCopy => BindFlags::XDP_ZEROCOPY,
        };
        flags.set(BindFlags::XDP_USE_NEED_WAKEUP, ring.need_wakeup);
        flags.set(BindFlags::XDP_USE_SG, settings.jumbo);
        let config = SocketConfig::builder()
            .rx_queue_size(size(ring.receive)?)
            .tx_queue_size(size(64)?)
            // Or libxdp would load a program of its own, which redirects everything.
            .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
            .bind_flags(flags)
            .build();
        let device: Interface =
            interface.parse().map_err(|_| refuse("the name holds a zero byte".to_owned(), "correct it"))?;
        let (receive, fill) = bind_patiently(config, &umem, &device, queue).map_err(|error| {
            let remedy = match os_error(error.as_ref()) {
                Some(libc::EBUSY) => "another program holds the queue: find it with `ss --xdp` and end it",
                Some(libc::EOPNOTSUPP | libc::EPROTONOSUPPORT) => "the driver has no zero-copy: write bind = \"copy\"",
                Some(libc::EPERM) => "give CAP_NET_RAW and CAP_NET_ADMIN",
                Some(libc::EINVAL) => "the interface may have fewer queues than it shows: set `queues`",
                _ => "see `dmesg` and `writ doctor`",
            };
            refuse(chain(error.as_ref()), remedy)
        })?;

        let busy_poll = BusyPoll::set(receive.fd(), ring).map_err(|(field, error)| {
            let remedy = match error.raw_os_error() {
                Some(libc::ENOPROTOOPT) => "busy polling needs Linux 5.11: write ring.busy_poll_us = 0",
                Some(libc::EPERM) => "give CAP_NET_ADMIN, or write ring.busy_poll_us = 0",
                _ => "write ring.busy_poll_us = 0",
            };
            refuse(format!("the kernel refuses `{field}`: {error}"), remedy)
        })?;

        // A frame that finds no place in the receive ring is of no use in copy mode: what circulates is what can wait there,
        // so that less memory stays in the caches. In zero-copy mode the NIC's own ring holds frames too.
        let stock = match settings.bind {
            BindMode::Copy => ring.receive.saturating_add(ring.batch),
            BindMode::ZeroCopy => ring.frames,
        };
        let mut source = Self {
            interface: interface.to_owned(),
            queue,
            pool: FramePool::new(frames, ring.frame_size, ring.batch as usize, stock),
            rings: XskRings { receive, fill },
            umem,
            located: Vec::with_capacity(ring.batch as usize),
            spin: Duration::from_micros(if busy_poll.is_some() { ring.busy_poll_us } else { ring.spin_us }.into()),
            busy_poll,
            pause: Duration::from_micros(ring.pause_us.into()),
            next_number: 0,
            in_overlong: false,
            counts: SourceStatistics::default(),
        };
        // The socket is bound with an empty fill ring.
        source.pool.refill(&mut source.rings);
        Ok(source)
    }

    /// The receive queue.
    pub fn queue(&self) -> u32 {
        self.queue
    }

    /// The interface.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Frames by owner: free, with the kernel, with the worker. Their sum is `ring.frames`, always.
    pub fn frame_census(&self) -> [usize; 3] {
        self.pool.census()
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.rings.receive.fd().as_raw_fd()
    }

    fn take(&mut self, wait: Duration) -> io::Result<()> {
        self.located.clear();
        self.pool.refill(&mut self.rings);
        // A driver that ran out of frames sleeps until it is told of new ones; poll tells it.
        if self.rings.fill.needs_wakeup() {
            self.rings.receive.poll(0)?;
        }
        if self.pool.receive(&mut self.rings)? == 0 && !self.spin(wait)? {
            if wait.is_zero() || !self.rings.receive.poll(milliseconds(wait))? {
                return Ok(());
            }
            self.pool.receive(&mut self.rings)?;
        }
        for ahead in self.pool.batch().iter().take(AHEAD) {
            prefetch_head(&self.umem, ahead);
        }
        let mut place = 0;
        for pieces in self.pool.batch().chunk_by(|piece, _| piece.has_more_frames()) {
            let unfinished = pieces.last().is_some_and(FrameDesc::has_more_frames);
            for ahead in self.pool.batch().iter().skip(place + AHEAD).take(pieces.len()) {
                prefetch_head(&self.umem, ahead);
            }
            // What follows a packet too long for a batch was counted with its beginning.
            if !mem::replace(&mut self.in_overlong, unfinished) {
                match locate(&self.umem, pieces, place).filter(|_| !unfinished) {
                    Some(located) => {
                        let number = located.header().number;
                        self.counts.missing += number.saturating_sub(self.next_number);
                        self.next_number = number.saturating_add(1);
                        self.counts.frames += 1;
                        self.counts.bytes += located.frame_length() as u64;
                        self.located.push(located);
                    }
                    None => self.counts.malformed += 1,
                }
            }
            place += pieces.len();
        }
        Ok(())
    }
}

impl RingSource {
    /// Looks for frames for a moment before the thread goes to sleep, or makes the driver look. Says whether any came.
    fn spin(&mut self, wait: Duration) -> io::Result<bool> {
        let limit = self.spin.min(wait);
        if limit.is_zero() {
            return Ok(false);
        }
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if let Some(busy_poll) = &self.busy_poll {
                busy_poll.run(self.rings.receive.fd())?;
            } else if self.pause.is_zero() {
                std::hint::spin_loop();
            } else {
                thread::sleep(self.pause);
            }
            if self.pool.receive(&mut self.rings)? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Source for RingSource {
    fn receive(&mut self, wait: Duration) -> Result<Batch<'_>, SourceError> {
        self.take(wait).map_err(|source| SourceError::Ring {
            interface: self.interface.clone(),
            queue: self.queue,
            source,
        })?;
        let after = if self.pool.left_some() { After::Unknown } else { After::Empty };
        Ok(Batch::new(&self.located, Memory::Ring(&self.umem, &self.pool), after))
    }

    fn statistics(&self) -> SourceStatistics {
        let mut counts = self.counts;
        counts.polling = polling(self.busy_poll.as_ref(), self.rings.receive.fd());
        // The socket is open as long as this source; should the kernel refuse all the same, its part stays 0.
        if let Ok(socket) = self.rings.receive.fd().xdp_statistics() {
            counts.ring_full = socket.rx_ring_full();
            counts.fill_ring_empty = socket.rx_fill_ring_empty_descs();
            counts.dropped = socket.rx_dropped();
            counts.invalid_descriptors = socket.rx_invalid_descs();
        }
        counts
    }
}

/// Checks the packet in some frames of the pool's batch, which begin at `place` of it.
fn locate(umem: &Umem, pieces: &[FrameDesc], place: usize) -> Option<Located> {
    let (first, rest) = pieces.split_first()?;
    // SAFETY: the frame is of this memory, in the pool's batch, and checked not to leave its place; the pool is not
    // touched while the bytes are looked at.
    let bytes = unsafe { umem.data(first) }.contents();
    if rest.is_empty() {
        return Located::check(bytes, place, None);
    }
    let length = pieces.iter().map(|piece| piece.lengths().data()).sum();
    Located::check_pieces(bytes, pieces.len(), length, place)
}

/// Asks for the beginning of a frame.
fn prefetch_head(umem: &Umem, frame: &FrameDesc) {
    // SAFETY: the frame is of this memory and in the pool's batch, and nobody writes to it meanwhile.
    let bytes = unsafe { umem.data(frame) }.contents();
    prefetch(bytes.get(..HEAD).unwrap_or(bytes));
}

fn bind_patiently(
    config: SocketConfig,
    umem: &Umem,
    device: &Interface,
    queue: u32,
) -> Result<(RxQueue, FillQueue), Box<dyn Error>> {
    let mut tries = 0;
    loop {
        // SAFETY: the memory is not shared between sockets, and libxdp loads no program.
        match unsafe { Socket::new(config, umem, device, queue) } {
            // The rings for sending are let go at once: nothing is ever sent on a tap port.
            Ok((_, receive, Some((fill, _)))) => return Ok((receive, fill)),
            Ok(_) => return Err("the socket has no fill ring".into()),
            Err(error) if os_error(&error) == Some(libc::EBUSY) && tries < BUSY_TRIES => {
                tries += 1;
                thread::sleep(BUSY_WAIT);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn os_error(error: &(dyn Error + 'static)) -> Option<i32> {
    crate::tables::errno(error)
}

/// An error with its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

/// Rounded up, so that a short wait does not become none.
fn milliseconds(wait: Duration) -> i32 {
    i32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
}
