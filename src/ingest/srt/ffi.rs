//! The binding of libsrt 1.5, and the only unsafe code of the program. In: numbers, bytes, addresses.
//! Out: handles that close when they are dropped. Not here: what options a socket has (`socket`).
//!
//! Built and run against the GnuTLS variant only: GStreamer and FFmpeg of Debian load that one, and two
//! variants in one process would share a thousand symbol names.
//!
//! What of it other threads run: the decision on a caller, on libsrt's receive thread of its port, which
//! all callers of the port wait for meanwhile; and its log.

#![expect(
    unsafe_code,
    reason = "libsrt is a C library; this is its only binding"
)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::mem::size_of;
use std::net::SocketAddr;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::address::{self, Address};
use super::statistics::Statistics;

/// Longest payload of a packet in live mode, bytes (`SRT_LIVE_MAX_PLSIZE`).
pub(super) const MAX_PAYLOAD_BYTES: usize = 1456;

// srt.h of 1.5.1: SRT_SOCKSTATUS, SRT_ERRNO, SRT_EPOLL_OPT, SRT_EPOLL_FLAGS.
const SRTS_CONNECTED: c_int = 5;
const SRTS_BROKEN: c_int = 6;
const SRT_EASYNCRCV: c_int = 6002;
const SRT_EPOLL_IN: c_int = 0x1;
const SRT_EPOLL_ERR: c_int = 0x8;
const SRT_EPOLL_ENABLE_EMPTY: i32 = 1;
// access_control.h
const SRT_REJX_ISE: c_int = 1500;
// logging_api.h: no time, thread name, severity or end of line in the text.
const SRT_LOGF_BARE: c_int = 1 | 2 | 4 | 8;
const LOG_CRIT: c_int = 2;
const LOG_WARNING: c_int = 4;

type LogHandler =
    extern "C" fn(*mut c_void, c_int, *const c_char, c_int, *const c_char, *const c_char);
type ListenHook = extern "C" fn(*mut c_void, c_int, c_int, *const u8, *const c_char) -> c_int;

// Addresses are `const struct sockaddr *` there.
#[link(name = "srt-gnutls")]
unsafe extern "C" {
    fn srt_startup() -> c_int;
    fn srt_cleanup() -> c_int;
    fn srt_getversion() -> u32;
    fn srt_time_now() -> i64;
    fn srt_setloglevel(level: c_int);
    fn srt_setlogflags(flags: c_int);
    fn srt_setloghandler(opaque: *mut c_void, handler: Option<LogHandler>);
    fn srt_create_socket() -> c_int;
    fn srt_bind_acquire(socket: c_int, port: c_int) -> c_int;
    fn srt_listen(socket: c_int, backlog: c_int) -> c_int;
    fn srt_listen_callback(socket: c_int, hook: ListenHook, opaque: *mut c_void) -> c_int;
    fn srt_accept(socket: c_int, name: *mut Address, length: *mut c_int) -> c_int;
    fn srt_connect(socket: c_int, name: *const Address, length: c_int) -> c_int;
    fn srt_close(socket: c_int) -> c_int;
    fn srt_getsockname(socket: c_int, name: *mut Address, length: *mut c_int) -> c_int;
    fn srt_getsockstate(socket: c_int) -> c_int;
    fn srt_getsockflag(socket: c_int, option: c_int, to: *mut c_int, length: *mut c_int) -> c_int;
    fn srt_setsockflag(socket: c_int, option: c_int, from: *const u8, length: c_int) -> c_int;
    fn srt_recv(socket: c_int, buffer: *mut u8, length: c_int) -> c_int;
    #[cfg(test)]
    fn srt_send(socket: c_int, buffer: *const u8, length: c_int) -> c_int;
    fn srt_bistats(socket: c_int, to: *mut Statistics, clear: c_int, instant: c_int) -> c_int;
    fn srt_getlasterror(errno: *mut c_int) -> c_int;
    fn srt_strerror(code: c_int, errno: c_int) -> *const c_char;
    fn srt_getrejectreason(socket: c_int) -> c_int;
    fn srt_setrejectreason(socket: c_int, value: c_int) -> c_int;
    fn srt_rejectreason_str(reason: c_int) -> *const c_char;
    fn srt_epoll_create() -> c_int;
    fn srt_epoll_set(poll: c_int, flags: i32) -> i32;
    fn srt_epoll_add_usock(poll: c_int, socket: c_int, events: *const c_int) -> c_int;
    fn srt_epoll_remove_usock(poll: c_int, socket: c_int) -> c_int;
    fn srt_epoll_uwait(poll: c_int, to: *mut PollEvent, size: c_int, timeout_ms: i64) -> c_int;
    fn srt_epoll_release(poll: c_int) -> c_int;
}

/// `SRT_EPOLL_EVENT`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct PollEvent {
    socket: c_int,
    events: c_int,
}

/// A call that libsrt did not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {text}")]
pub(super) struct Error {
    /// The function that was called.
    call: &'static str,
    /// The system's number of what went wrong; 0 when the system did nothing wrong.
    errno: i32,
    /// libsrt's words for it.
    text: String,
}

impl Error {
    /// The error of this thread's last call.
    fn last(call: &'static str) -> Error {
        let mut errno = 0;
        // SAFETY: writes one int; the text is static or of this thread, and is copied at once.
        let text = unsafe { text(srt_strerror(srt_getlasterror(&mut errno), errno)) };
        Error { call, errno, text }
    }

    /// What the system said, where it was the system.
    pub(super) fn io(&self) -> io::Error {
        match self.errno {
            0 => io::Error::other(self.text.clone()),
            errno => io::Error::from_raw_os_error(errno),
        }
    }
}

/// Copies a C string that libsrt hands out.
///
/// # Safety
/// `string` is null or a C string that lives until this returns.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: not null, and a C string by this function's condition.
    let string = unsafe { CStr::from_ptr(string) };
    string.to_string_lossy().trim_end().to_owned()
}

fn checked(call: &'static str, result: c_int) -> Result<c_int, Error> {
    if result < 0 {
        return Err(Error::last(call));
    }
    Ok(result)
}

/// The library, started. It ends with the last clone, and every socket holds one. None may be left when the
/// process ends: libsrt's destructor does not end what was started twice, and its collector of closed
/// sockets then runs on in what was taken apart (`CUDTUnited::cleanup`).
#[derive(Clone, Debug)]
pub(super) struct Library {
    _started: Arc<Started>,
}

#[derive(Debug)]
struct Started;

impl Drop for Started {
    fn drop(&mut self) {
        // SAFETY: pairs with the startup; libsrt counts both under a lock of its own.
        unsafe { srt_cleanup() };
    }
}

impl Library {
    /// Starts libsrt. Its log goes to ours, at debug.
    pub(super) fn start() -> Result<Library, Error> {
        let is_logged = tracing::enabled!(tracing::Level::DEBUG);
        let level = if is_logged { LOG_WARNING } else { LOG_CRIT };
        // SAFETY: plain numbers, and a handler that lives for ever and takes no state.
        unsafe {
            srt_setloghandler(ptr::null_mut(), Some(log));
            srt_setlogflags(SRT_LOGF_BARE);
            srt_setloglevel(level);
            checked("srt_startup", srt_startup())?;
        }
        Ok(Library {
            _started: Arc::new(Started),
        })
    }

    /// The library's clock, by which packets are due: time since a point of its choice.
    pub(super) fn now(&self) -> Duration {
        // SAFETY: reads a clock.
        let micros = unsafe { srt_time_now() };
        Duration::from_micros(micros.unsigned_abs())
    }

    /// Version of libsrt, as in `1.5.1`.
    pub(super) fn version() -> String {
        // SAFETY: returns a constant.
        let version = unsafe { srt_getversion() };
        // version.h: major, minor and patch are a byte each.
        let [_, major, minor, patch] = version.to_be_bytes();
        format!("{major}.{minor}.{patch}")
    }
}

extern "C" fn log(
    _opaque: *mut c_void,
    _level: c_int,
    _file: *const c_char,
    _line: c_int,
    area: *const c_char,
    message: *const c_char,
) {
    // A panic must not pass through libsrt; there is nobody to tell.
    let _ = catch_unwind(|| {
        // SAFETY: libsrt gives C strings that live for the call.
        let (area, message) = unsafe { (text(area), text(message)) };
        tracing::debug!(area, message, "libsrt");
    });
}

/// libsrt's name of a socket, which may be gone: then what is asked of it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id(c_int);

impl Id {
    /// Whether its connection stands.
    pub(super) fn is_connected(self) -> bool {
        // SAFETY: any number may be asked for.
        unsafe { srt_getsockstate(self.0) == SRTS_CONNECTED }
    }

    /// Whether its connection stands, is being made or will be.
    pub(super) fn is_alive(self) -> bool {
        // SAFETY: any number may be asked for.
        unsafe { srt_getsockstate(self.0) < SRTS_BROKEN }
    }

    /// Sets an option that is a number.
    pub(super) fn set(self, option: c_int, value: c_int) -> Result<(), Error> {
        self.set_bytes(option, &value.to_ne_bytes())
    }

    /// Sets an option that is text.
    pub(super) fn set_bytes(self, option: c_int, value: &[u8]) -> Result<(), Error> {
        // SAFETY: libsrt copies as many bytes as the slice has.
        let result = unsafe { srt_setsockflag(self.0, option, value.as_ptr(), length(value)) };
        checked("srt_setsockflag", result).map(|_| ())
    }

    /// Reads an option that is a number.
    pub(super) fn get(self, option: c_int) -> Option<c_int> {
        let (mut value, mut length) = (0, size_of::<c_int>() as c_int);
        // SAFETY: libsrt writes no more bytes than the length says.
        let result = unsafe { srt_getsockflag(self.0, option, &mut value, &mut length) };
        (result == 0).then_some(value)
    }

    /// Why its connection did not come about: libsrt's number or the peer's, with the text.
    pub(super) fn reject_reason(self) -> (i32, String) {
        // SAFETY: any number may be asked for; the text is static.
        unsafe {
            let reason = srt_getrejectreason(self.0);
            (reason, text(srt_rejectreason_str(reason)))
        }
    }
}

fn length(bytes: &[u8]) -> c_int {
    c_int::try_from(bytes.len()).unwrap_or(c_int::MAX)
}

/// A socket, closed when it is dropped.
#[derive(Debug)]
pub(super) struct Handle {
    id: Id,
    library: Library,
}

/// What one read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing is due now.
    Nothing,
    /// Nothing is due now, and the connection is over. What was received before may still become due.
    Broken,
}

impl Handle {
    pub(super) fn new(library: &Library) -> Result<Handle, Error> {
        // SAFETY: no arguments.
        let id = checked("srt_create_socket", unsafe { srt_create_socket() })?;
        Ok(Handle {
            id: Id(id),
            library: library.clone(),
        })
    }

    pub(super) fn id(&self) -> Id {
        self.id
    }

    /// Takes over a bound UDP socket, and closes it when nobody of this library uses it any more.
    pub(super) fn acquire(&self, port: OwnedFd) -> Result<(), Error> {
        // Not ours in any case: libsrt closes it after some of its errors.
        let port = port.into_raw_fd();
        // SAFETY: plain numbers, and nobody else has the descriptor.
        checked("srt_bind_acquire", unsafe {
            srt_bind_acquire(self.id.0, port)
        })
        .map(|_| ())
    }

    /// The port it has.
    pub(super) fn address(&self) -> Result<SocketAddr, Error> {
        let (mut name, mut length) = (Address::default(), address::MAX_BYTES as c_int);
        // SAFETY: writes at most `length` bytes, the size of the address.
        let result = unsafe { srt_getsockname(self.id.0, &mut name, &mut length) };
        checked("srt_getsockname", result).map(|_| name.get())
    }

    /// Begins a connection, without waiting.
    pub(super) fn connect(&self, peer: SocketAddr) -> Result<(), Error> {
        let (name, length) = Address::new(peer);
        // SAFETY: the address lives for the call and is as long as said.
        let result = unsafe { srt_connect(self.id.0, &name, length as c_int) };
        checked("srt_connect", result).map(|_| ())
    }

    /// Takes the next packet that is due.
    pub(super) fn receive(&self, buffer: &mut [u8; MAX_PAYLOAD_BYTES]) -> Received {
        let size = length(buffer);
        // SAFETY: libsrt writes at most `size` bytes, those of the buffer.
        let count = unsafe { srt_recv(self.id.0, buffer.as_mut_ptr(), size) };
        match usize::try_from(count) {
            Ok(count) if count > 0 => Received::Bytes(count.min(MAX_PAYLOAD_BYTES)),
            // SAFETY: a null pointer says that the system's number is not wanted.
            _ if unsafe { srt_getlasterror(ptr::null_mut()) } == SRT_EASYNCRCV => Received::Nothing,
            _ => Received::Broken,
        }
    }

    /// Sends one packet.
    #[cfg(test)]
    pub(super) fn send(&self, payload: &[u8]) -> Result<(), Error> {
        // SAFETY: libsrt reads as many bytes as the slice has.
        let result = unsafe { srt_send(self.id.0, payload.as_ptr(), length(payload)) };
        checked("srt_send", result).map(|_| ())
    }

    /// What libsrt measures of the connection; `None` when it is over.
    pub(super) fn statistics(&self) -> Option<Statistics> {
        // SAFETY: all of its fields are numbers, for which zeroes are values.
        let mut statistics: Statistics = unsafe { std::mem::zeroed() };
        // SAFETY: writes one structure, whose layout is checked above and which has room to spare.
        let result = unsafe { srt_bistats(self.id.0, &mut statistics, 0, 1) };
        (result == 0).then_some(statistics)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: any number may be closed; this one is ours, and is closed once.
        unsafe { srt_close(self.id.0) };
    }
}

/// A caller that asks to be let in: its socket-to-be, its address, and what it asks for, in bytes of its
/// choice. The answer is yes, or no with a code of `access_control.h`; it must come quickly.
pub(super) type Decide = dyn Fn(Id, SocketAddr, &[u8]) -> Result<(), c_int> + Send + Sync;

/// A socket that callers connect to.
pub(super) struct Listener {
    // First, so that it is closed before what libsrt calls through it goes.
    handle: Handle,
    /// In a second box, since a pointer to a trait object has no type in C.
    _decide: Box<Box<Decide>>,
}

impl Listener {
    /// Begins to take callers on a socket that has a port, at most `backlog` that are not accepted yet.
    pub(super) fn new(
        handle: Handle,
        backlog: c_int,
        decide: Box<Decide>,
    ) -> Result<Listener, Error> {
        let decide = Box::new(decide);
        let opaque = ptr::from_ref::<Box<Decide>>(&decide).cast_mut().cast();
        // SAFETY: what `opaque` points to does not move and lives as long as the listener. libsrt calls
        // through it under the lock of the port's listener, which closing the socket takes too, and not
        // after that (`CRcvQueue::m_LSLock`); fields are dropped in order, the socket first.
        let result = unsafe { srt_listen_callback(handle.id.0, on_caller, opaque) };
        let listener = Listener {
            handle,
            _decide: decide,
        };
        checked("srt_listen_callback", result)?;
        // SAFETY: plain numbers.
        checked("srt_listen", unsafe {
            srt_listen(listener.id().0, backlog)
        })?;
        Ok(listener)
    }

    pub(super) fn id(&self) -> Id {
        self.handle.id
    }

    /// Takes one caller that was let in. Called once per event, since libsrt logs an error otherwise.
    pub(super) fn accept(&self) -> Result<Handle, Error> {
        // SAFETY: null pointers say that the address is not wanted.
        let id = unsafe { srt_accept(self.id().0, ptr::null_mut(), ptr::null_mut()) };
        Ok(Handle {
            id: Id(checked("srt_accept", id)?),
            library: self.handle.library.clone(),
        })
    }
}

extern "C" fn on_caller(
    opaque: *mut c_void,
    socket: c_int,
    _handshake_version: c_int,
    peer: *const u8,
    stream_id: *const c_char,
) -> c_int {
    // A panic must not pass through libsrt: it is a refusal.
    let decision = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: of `opaque` see `Listener::new`. libsrt gives an address of IPv4 or IPv6, whose first
        // two bytes say how long it is, and a C string, both for the time of this call.
        let (decide, peer, stream_id) = unsafe {
            let mut address = Address::default();
            let length = Address::length(peer.cast::<[u8; 2]>().read());
            ptr::copy_nonoverlapping(peer, address.0.as_mut_ptr(), length);
            let decide = &*opaque.cast::<Box<Decide>>().cast_const();
            (decide, address.get(), CStr::from_ptr(stream_id))
        };
        decide(Id(socket), peer, stream_id.to_bytes())
    }));
    match decision.unwrap_or(Err(SRT_REJX_ISE)) {
        Ok(()) => 0,
        Err(code) => {
            // SAFETY: plain numbers.
            unsafe { srt_setrejectreason(socket, code) };
            -1
        }
    }
}

/// Tells which of its sockets have something to read.
#[derive(Debug)]
pub(super) struct Poll {
    id: c_int,
    /// One per socket.
    events: Vec<PollEvent>,
    _library: Library,
}

impl Poll {
    pub(super) fn new(library: &Library) -> Result<Poll, Error> {
        // SAFETY: no arguments.
        let id = checked("srt_epoll_create", unsafe { srt_epoll_create() })?;
        // SAFETY: plain numbers.
        unsafe { srt_epoll_set(id, SRT_EPOLL_ENABLE_EMPTY) };
        Ok(Poll {
            id,
            events: Vec::new(),
            _library: library.clone(),
        })
    }

    pub(super) fn add(&mut self, socket: Id) -> Result<(), Error> {
        let events = SRT_EPOLL_IN | SRT_EPOLL_ERR;
        // SAFETY: reads one int.
        let result = unsafe { srt_epoll_add_usock(self.id, socket.0, &events) };
        checked("srt_epoll_add_usock", result)?;
        self.events.push(PollEvent::default());
        Ok(())
    }

    /// For a socket that was added, once.
    pub(super) fn remove(&mut self, socket: Id) {
        // SAFETY: plain numbers; it is no harm when libsrt has forgotten the socket.
        unsafe { srt_epoll_remove_usock(self.id, socket.0) };
        self.events.pop();
    }

    /// Sockets with something to read, or whose connection is over, at this moment.
    pub(super) fn ready(&mut self) -> impl Iterator<Item = Id> + use<'_> {
        let size = c_int::try_from(self.events.len()).unwrap_or(c_int::MAX);
        // SAFETY: libsrt writes at most `size` events, as many as there are. It does not wait.
        let count = unsafe { srt_epoll_uwait(self.id, self.events.as_mut_ptr(), size, 0) };
        // Where there are more than it may write, it returns one more than it wrote.
        let count = usize::try_from(count).unwrap_or(0).min(self.events.len());
        self.events[..count].iter().map(|event| Id(event.socket))
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        // SAFETY: ours, released once.
        unsafe { srt_epoll_release(self.id) };
    }
}
