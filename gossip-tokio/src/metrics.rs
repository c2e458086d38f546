//! Metrics of a node: one table of names and meanings, for whatever collects them. Knows counters and gauges; must not
//! know who collects them.
//!
//! With the feature `metrics`, the driver reports all of them through the facade of the crate
//! [`metrics`](https://docs.rs/metrics), at most once a second and whenever the application calls [`report`], with the
//! node's id as the label `node`. [`text`] is the same in the text format of Prometheus, without any feature.

use std::fmt::Write as _;

use gossip_core::{Address, RoundTrips, Status};

use crate::gossip::Gossip;
use crate::stats::Stats;

/// The kind of a metric.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Grows since the start of the node.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of durations by their length.
    Histogram,
}

/// A metric: its name, its meaning, and where its value comes from.
#[derive(Debug)]
#[non_exhaustive]
pub struct Metric {
    /// The name, as Prometheus wants it.
    pub name: &'static str,
    /// The kind.
    pub kind: Kind,
    /// The meaning, in a sentence.
    pub help: &'static str,
    value: fn(&State) -> f64,
}

/// Source of all values, read at one time.
struct State {
    stats: Stats,
    /// Alive, suspect, dead, left.
    members: [usize; 4],
    entries: usize,
    bytes: usize,
    links: usize,
    hot: usize,
    transfers: (usize, usize),
    local_health: u32,
    isolated: u8,
    catching_up: u8,
    alerts: usize,
    round_trips: RoundTrips,
    coordinate_error: f32,
}

impl State {
    fn of<A: Address>(shared: &crate::shared::State<A>) -> Self {
        let node = &shared.node;
        let statuses = [Status::Alive, Status::Suspect, Status::Dead, Status::Left];
        Self {
            stats: Stats { node: node.stats(), driver: shared.counters },
            members: statuses.map(|status| node.count_members(status)),
            entries: node.entry_count(),
            bytes: node.value_bytes(),
            links: node.neighbours().count(),
            hot: node.hot_rumors(),
            transfers: node.transfers(),
            local_health: node.local_health(),
            isolated: node.is_isolated().into(),
            catching_up: node.catching_up().is_some().into(),
            alerts: shared.health(shared.clock.now()).len(),
            round_trips: node.round_trips().clone(),
            coordinate_error: node.coordinate(node.id()).map_or(0.0, |own| own.error()),
        }
    }
}

macro_rules! table {
    ($($kind:ident $name:literal, $help:literal, $value:expr;)*) => {
        &[$(Metric { name: $name, kind: Kind::$kind, help: $help, value: $value },)*]
    };
}

/// All metrics of a node.
#[rustfmt::skip]
#[allow(clippy::cast_precision_loss, reason = "a metric is a float wherever it is collected")]
pub const TABLE: &[Metric] = table! {
    Counter "gossip_datagrams_sent_total", "Datagrams handed to the transport.", |state| state.stats.node.datagrams_sent as f64;
    Counter "gossip_bytes_sent_total", "Bytes handed to the transport.", |state| state.stats.node.bytes_sent as f64;
    Counter "gossip_datagrams_received_total", "Datagrams accepted.", |state| state.stats.node.datagrams_received as f64;
    Counter "gossip_bytes_received_total", "Bytes accepted.", |state| state.stats.node.bytes_received as f64;
    Counter "gossip_datagrams_malformed_total", "Datagrams refused: too short, damaged, or no messages.", |state| state.stats.node.datagrams_malformed as f64;
    Counter "gossip_datagrams_foreign_total", "Datagrams refused: of another cluster or version, sealed with an unknown key, or too long.", |state| state.stats.node.datagrams_foreign as f64;
    Counter "gossip_datagrams_not_admitted_total", "Datagrams refused: their senders are not admitted.", |state| state.stats.node.datagrams_not_admitted as f64;
    Counter "gossip_datagrams_too_old_total", "Datagrams refused: older than what is remembered of deaths and deletions.", |state| state.stats.node.datagrams_too_old as f64;
    Counter "gossip_datagrams_replayed_total", "Sealed datagrams refused: received before, or so late that this cannot be told.", |state| state.stats.node.datagrams_replayed as f64;
    Counter "gossip_datagrams_unproved_total", "Datagrams ignored: their senders have not proved that they receive at their addresses.", |state| state.stats.node.datagrams_unproved as f64;
    Counter "gossip_datagrams_after_leaving_total", "Datagrams that came after this node had left.", |state| state.stats.node.datagrams_after_leaving as f64;
    Counter "gossip_updates_new_total", "Updates that were new here.", |state| state.stats.node.updates_new as f64;
    Counter "gossip_updates_known_total", "Updates that were known or outdated.", |state| state.stats.node.updates_known as f64;
    Counter "gossip_updates_expired_total", "Updates refused: past their lifetime.", |state| state.stats.node.updates_expired as f64;
    Counter "gossip_updates_too_long_total", "Updates refused: they end more than 400 days ahead.", |state| state.stats.node.updates_too_long as f64;
    Counter "gossip_certificates_pushed_out_total", "Death certificates pushed out: limits.certificates is reached.", |state| state.stats.node.certificates_pushed_out as f64;
    Counter "gossip_values_set_aside_total", "Values set aside after an absence.", |state| state.stats.node.values_set_aside as f64;
    Counter "gossip_shares_lost_total", "Values of this member's shares lost between two starts of it.", |state| state.stats.node.shares_lost as f64;
    Counter "gossip_values_not_set_aside_total", "Values not set aside after an absence, because there was no room.", |state| state.stats.node.values_not_set_aside as f64;
    Counter "gossip_updates_ahead_total", "Updates refused: stamped too far in the future.", |state| state.stats.node.updates_ahead as f64;
    Counter "gossip_updates_full_total", "Updates refused: limits.members or limits.entries is reached.", |state| state.stats.node.updates_full as f64;
    Counter "gossip_updates_full_bytes_total", "Updates refused: limits.bytes is reached.", |state| state.stats.node.updates_full_bytes as f64;
    Counter "gossip_updates_full_share_total", "Updates refused: their writer has used up limits.share.", |state| state.stats.node.updates_full_share as f64;
    Counter "gossip_updates_not_admitted_total", "Updates refused: records of members that are not admitted.", |state| state.stats.node.updates_not_admitted as f64;
    Counter "gossip_updates_oversized_total", "Updates refused: larger than this node takes.", |state| state.stats.node.updates_oversized as f64;
    Counter "gossip_work_dropped_total", "Messages beyond limits.work in their datagram.", |state| state.stats.node.work_dropped as f64;
    Counter "gossip_outbox_dropped_total", "Messages dropped: the outbox was full.", |state| state.stats.node.outbox_dropped as f64;
    Counter "gossip_outbox_unsendable_total", "Messages dropped: no datagram has room for them.", |state| state.stats.node.outbox_unsendable as f64;
    Counter "gossip_hot_dropped_total", "Rumors that cooled early: too many were hot.", |state| state.stats.node.hot_dropped as f64;
    Counter "gossip_members_asked_total", "Members asked whether they are there before they were believed.", |state| state.stats.node.members_asked as f64;
    Counter "gossip_parked_dropped_total", "Owned entries of unknown members dropped: there were too many.", |state| state.stats.node.parked_dropped as f64;
    Counter "gossip_events_dropped_total", "Events on members and entries that were never fetched.", |state| state.stats.node.events_dropped as f64;
    Counter "gossip_undelivered_dropped_total", "Broadcasts, messages and questions that were not fetched in time.", |state| state.stats.node.undelivered_dropped as f64;
    Counter "gossip_unicasts_refused_total", "Messages to this member refused: of no living member, too late, or too many.", |state| state.stats.node.unicasts_refused as f64;
    Counter "gossip_unicasts_repeated_total", "Acknowledged messages and answers sent again.", |state| state.stats.node.unicasts_repeated as f64;
    Counter "gossip_unicasts_given_up_total", "Acknowledged messages and answers given up without a receipt.", |state| state.stats.node.unicasts_given_up as f64;
    Counter "gossip_questions_dropped_total", "Questions dropped: too many waited for an answer.", |state| state.stats.node.questions_dropped as f64;
    Counter "gossip_answers_late_total", "Answers that came twice, or after their query had ended.", |state| state.stats.node.answers_late as f64;
    Counter "gossip_transfers_begun_total", "Transfers of values larger than a datagram that began here.", |state| state.stats.node.transfers_begun as f64;
    Counter "gossip_transfers_completed_total", "Transfers that came whole and were verified.", |state| state.stats.node.transfers_completed as f64;
    Counter "gossip_transfers_failed_total", "Transfers that no holder completed.", |state| state.stats.node.transfers_failed as f64;
    Counter "gossip_transfers_overtaken_total", "Transfers given up: the value was overwritten meanwhile.", |state| state.stats.node.transfers_overtaken as f64;
    Counter "gossip_transfers_refused_total", "Transfers not begun: limits.transfers were under way.", |state| state.stats.node.transfers_refused as f64;
    Counter "gossip_exchanges_total", "Anti-entropy exchanges begun here.", |state| state.stats.node.exchanges as f64;
    Counter "gossip_probes_total", "Members probed.", |state| state.stats.node.probes as f64;
    Counter "gossip_probes_failed_total", "Probes that nobody answered, directly or through others.", |state| state.stats.node.probes_failed as f64;
    Counter "gossip_suspicions_total", "Members suspected here.", |state| state.stats.node.suspicions as f64;
    Counter "gossip_deaths_total", "Members declared dead here.", |state| state.stats.node.deaths as f64;
    Counter "gossip_members_unreached_total", "Checks of members that did not answer at the addresses in their records.", |state| state.stats.node.members_unreached as f64;
    Counter "gossip_paths_compared_total", "Comparisons of short and long datagrams on a path.", |state| state.stats.node.paths_compared as f64;
    Counter "gossip_paths_narrowed_total", "Paths found to lose all long datagrams.", |state| state.stats.node.paths_narrowed as f64;
    Counter "gossip_refutations_total", "Times that this node refuted being suspected or dead.", |state| state.stats.node.refutations as f64;
    Counter "gossip_datagrams_unasked_total", "Acks alone that answer no ping that is still waited for: mostly late ones.", |state| state.stats.node.datagrams_unasked as f64;
    Counter "gossip_links_ended_total", "Links in the overlay that ended because the neighbour was silent.", |state| state.stats.node.links_ended as f64;
    Counter "gossip_links_repeated_total", "Datagrams over links that were not confirmed in time; what they carried was offered again.", |state| state.stats.node.links_repeated as f64;
    Counter "gossip_links_dropped_total", "Items not sent over a link, or not asked for, because too many waited.", |state| state.stats.node.links_dropped as f64;
    Counter "gossip_periods_stretched_total", "Protocol periods that waited for the answer over a path that is longer than a period.", |state| state.stats.node.periods_stretched as f64;
    Counter "gossip_pings_repeated_total", "Pings repeated within their period, because no answer had come within a round trip.", |state| state.stats.node.pings_repeated as f64;
    Counter "gossip_coordinates_received_total", "Messages with network coordinates taken in.", |state| state.stats.node.coordinates_received as f64;
    Counter "gossip_driver_bytes_acks_total", "Bytes handed to the transport as answers to probes.", |state| state.stats.driver.bytes_acks as f64;
    Counter "gossip_driver_bytes_probes_total", "Bytes handed to the transport as probes.", |state| state.stats.driver.bytes_probes as f64;
    Counter "gossip_driver_bytes_unicasts_total", "Bytes handed to the transport as messages to one member, receipts, and answers to queries.", |state| state.stats.driver.bytes_unicasts as f64;
    Counter "gossip_driver_bytes_rumors_total", "Bytes handed to the transport as news, and as answers to it.", |state| state.stats.driver.bytes_rumors as f64;
    Counter "gossip_driver_bytes_anti_entropy_total", "Bytes handed to the transport as summaries and sketches.", |state| state.stats.driver.bytes_anti_entropy as f64;
    Counter "gossip_driver_bytes_bulk_total", "Bytes handed to the transport as items that a replica lacked.", |state| state.stats.driver.bytes_bulk as f64;
    Counter "gossip_driver_turns_total", "Rounds of the driver's loop.", |state| state.stats.driver.turns as f64;
    Counter "gossip_driver_timers_set_total", "Times that the driver's timer was set.", |state| state.stats.driver.timers_set as f64;
    Counter "gossip_driver_sends_dropped_total", "Datagrams dropped: the transport would have blocked.", |state| state.stats.driver.sends_dropped as f64;
    Counter "gossip_driver_sends_failed_total", "Datagrams dropped: the transport failed to send them.", |state| state.stats.driver.sends_failed as f64;
    Counter "gossip_driver_receives_failed_total", "Times that the transport failed to receive.", |state| state.stats.driver.receives_failed as f64;
    Counter "gossip_driver_events_dropped_total", "Events dropped: a reader of the adapter was too slow.", |state| state.stats.driver.events_dropped as f64;
    Gauge "gossip_members_alive", "Members alive, this node included.", |state| state.members[0] as f64;
    Gauge "gossip_members_suspect", "Members suspected.", |state| state.members[1] as f64;
    Gauge "gossip_members_dead", "Members declared dead and still remembered.", |state| state.members[2] as f64;
    Gauge "gossip_members_left", "Members that left and are still remembered.", |state| state.members[3] as f64;
    Gauge "gossip_entries", "Shared entries held.", |state| state.entries as f64;
    Gauge "gossip_value_bytes", "Bytes of all values and payloads held.", |state| state.bytes as f64;
    Gauge "gossip_links", "Members that news is exchanged with along links.", |state| state.links as f64;
    Gauge "gossip_hot_rumors", "Rumors that are still being spread.", |state| state.hot as f64;
    Gauge "gossip_transfers", "Values larger than a datagram that are being fetched.", |state| state.transfers.0 as f64;
    Gauge "gossip_transfer_bytes", "Bytes held for the values that are being fetched.", |state| state.transfers.1 as f64;
    Gauge "gossip_local_health", "Lifeguard's local health multiplier: 0 is healthy.", |state| state.local_health as f64;
    Gauge "gossip_isolated", "1 while nobody answers this node, 0 otherwise.", |state| state.isolated as f64;
    Gauge "gossip_catching_up", "1 while this node fetches nearly everything it should hold, 0 otherwise.", |state| state.catching_up as f64;
    Gauge "gossip_coordinate_error", "Relative error that this node expects of distances by network coordinates.", |state| state.coordinate_error.into();
    Histogram "gossip_round_trip_seconds", "Round trips of the pings that were answered within their period.", |state| state.round_trips.count() as f64;
    Gauge "gossip_alerts", "Things that are wrong now: the number of alerts.", |state| state.alerts as f64;
};

/// All metrics of a node in the text format of Prometheus (version 0.0.4).
pub fn text<A: Address>(gossip: &Gossip<A>) -> String {
    let state = read(gossip);
    let mut text = String::new();
    for metric in TABLE {
        let Metric { name, kind, help, value } = metric;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Nothing can go wrong with a string.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        let _ = match metric.kind {
            Kind::Histogram => histogram(&mut text, name, &state.round_trips),
            _ => writeln!(text, "{name} {}", value(&state)),
        };
    }
    text
}

/// Each bucket counts those before it as well.
fn histogram(text: &mut String, name: &str, trips: &RoundTrips) -> std::fmt::Result {
    let mut up_to = 0;
    for (bound, count) in trips.buckets() {
        up_to += count;
        let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.as_secs_f64().to_string());
        writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {up_to}")?;
    }
    writeln!(text, "{name}_sum {}\n{name}_count {up_to}", trips.sum().as_secs_f64())
}

fn read<A: Address>(gossip: &Gossip<A>) -> State {
    State::of(&gossip.shared.lock())
}

/// Reports all metrics of a node through the facade of the crate `metrics`, now. The driver does the same once a second, and
/// it alone reports round trips, each once.
#[cfg(feature = "metrics")]
pub fn report<A: Address>(gossip: &Gossip<A>) {
    let state = read(gossip);
    let mut reporter = Reporter::new(gossip.id());
    reporter.reported.clone_from(&state.round_trips);
    reporter.report(&state);
}

/// Handles of the metrics of one node with the recorder that is installed.
#[cfg(feature = "metrics")]
pub(crate) struct Reporter {
    handles: Vec<Handle>,
    /// Round trips that were reported.
    reported: RoundTrips,
    next: std::time::Instant,
}

#[cfg(feature = "metrics")]
enum Handle {
    Counter(::metrics::Counter),
    Gauge(::metrics::Gauge),
    Histogram(::metrics::Histogram),
}

#[cfg(feature = "metrics")]
impl Reporter {
    /// Interval at which the driver reports.
    const PERIOD: std::time::Duration = std::time::Duration::from_secs(1);

    pub(crate) fn new(id: gossip_core::NodeId) -> Self {
        let node = id.to_string();
        let handle = |metric: &Metric| match metric.kind {
            Kind::Counter => {
                ::metrics::describe_counter!(metric.name, metric.help);
                Handle::Counter(::metrics::counter!(metric.name, "node" => node.clone()))
            }
            Kind::Gauge => {
                ::metrics::describe_gauge!(metric.name, metric.help);
                Handle::Gauge(::metrics::gauge!(metric.name, "node" => node.clone()))
            }
            Kind::Histogram => {
                ::metrics::describe_histogram!(metric.name, ::metrics::Unit::Seconds, metric.help);
                Handle::Histogram(::metrics::histogram!(metric.name, "node" => node.clone()))
            }
        };
        Self {
            handles: TABLE.iter().map(handle).collect(),
            reported: RoundTrips::default(),
            next: std::time::Instant::now(),
        }
    }

    /// Reports if it is time to.
    pub(crate) fn turn<A: Address>(&mut self, shared: &crate::shared::Shared<A>) {
        let now = std::time::Instant::now();
        if now >= self.next {
            self.next = now + Self::PERIOD;
            let state = State::of(&shared.lock());
            self.report(&state);
        }
    }

    fn report(&mut self, state: &State) {
        for (handle, metric) in self.handles.iter().zip(TABLE) {
            let value = (metric.value)(state);
            match handle {
                // Counters are whole numbers below 2^53.
                Handle::Counter(counter) => counter.absolute(value as u64),
                Handle::Gauge(gauge) => gauge.set(value),
                Handle::Histogram(histogram) => record(histogram, &self.reported, &state.round_trips),
            }
        }
        self.reported.clone_from(&state.round_trips);
    }
}

/// Records the round trips since the last time: each as the longest of its bucket, since more is not known.
#[cfg(feature = "metrics")]
fn record(histogram: &::metrics::Histogram, before: &RoundTrips, now: &RoundTrips) {
    let mut longest = 0.0;
    for ((bound, count), (_, reported)) in now.buckets().zip(before.buckets()) {
        // Twice the last bound for those beyond it.
        longest = bound.map_or(2.0 * longest, |bound| bound.as_secs_f64());
        histogram.record_many(longest, count.saturating_sub(reported) as usize);
    }
}
