//! libsrt's statistics of a connection, as it writes them.

use std::ffi::c_int;
use std::mem::offset_of;

/// Statistics that a later 1.5 may add at the end of the structure, 8 bytes each.
const SPARE: usize = 64;

/// `struct CBytePerfMon`: its names, and blocks of the same size for what nobody reads here. Counters
/// without `total` run since they were last cleared, which nobody does.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Statistics {
    ms_time_stamp: i64,
    pkt_sent_total: i64,
    pub(super) pkt_recv_total: i64,
    pkt_snd_loss_total: c_int,
    pub(super) pkt_rcv_loss_total: c_int,
    sent_totals: [c_int; 5],
    us_snd_duration_total: i64,
    pkt_snd_drop_total: c_int,
    pub(super) pkt_rcv_drop_total: c_int,
    pub(super) pkt_rcv_undecrypt_total: c_int,
    byte_totals: [u64; 7],
    local_packets: [i64; 2],
    local_losses: [c_int; 3],
    pub(super) pkt_rcv_retrans: c_int,
    local_acknowledgements: [c_int; 4],
    local_rates: [f64; 2],
    us_snd_duration: i64,
    pkt_reorder_distance: c_int,
    local_belated: [f64; 2],
    local_drops: [c_int; 3],
    local_bytes: [u64; 7],
    us_pkt_snd_period: f64,
    windows: [c_int; 3],
    pub(super) ms_rtt: f64,
    mbps_bandwidth: f64,
    available: [c_int; 2],
    mbps_max_bw: f64,
    byte_mss: c_int,
    send_buffer: [c_int; 4],
    receive_buffer: [c_int; 2],
    pub(super) ms_rcv_buf: c_int,
    pub(super) ms_rcv_tsbpd_delay: c_int,
    filter: [c_int; 9],
    unique: [u64; 8],
    spare: [u64; SPARE],
}

// Offsets as a C compiler lays them out for srt.h of 1.5.1.
const _: () = assert!(
    offset_of!(Statistics, pkt_rcv_loss_total) == 28
        && offset_of!(Statistics, pkt_rcv_drop_total) == 68
        && offset_of!(Statistics, pkt_rcv_undecrypt_total) == 72
        && offset_of!(Statistics, pkt_rcv_retrans) == 164
        && offset_of!(Statistics, ms_rtt) == 328
        && offset_of!(Statistics, ms_rcv_buf) == 388
        && offset_of!(Statistics, ms_rcv_tsbpd_delay) == 392
        && offset_of!(Statistics, unique) == 432
        && offset_of!(Statistics, spare) == 496
);
