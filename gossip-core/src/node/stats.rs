//! Counters: of every datagram, update and message that was taken, refused or dropped.

use serde::Serialize;

use super::Node;
use crate::address::Address;
use crate::swim;

/// Counters of a node since it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams handed to the driver.
    pub datagrams_sent: u64,
    /// Bytes handed to the driver.
    pub bytes_sent: u64,
    /// Datagrams accepted.
    pub datagrams_received: u64,
    /// Bytes accepted.
    pub bytes_received: u64,
    /// Datagrams refused: too short, malformed, damaged.
    pub datagrams_malformed: u64,
    /// Datagrams refused: another cluster's, another version's, sealed with an unknown key, or longer than `max_datagram`.
    pub datagrams_foreign: u64,
    /// Acks alone that answer no ping that is still waited for: mostly late ones.
    pub datagrams_unasked: u64,
    /// Datagrams refused: their senders are not admitted.
    pub datagrams_not_admitted: u64,
    /// Datagrams refused: older than what is remembered of deaths and deletions.
    pub datagrams_too_old: u64,
    /// Sealed datagrams refused: received before, or so late that this cannot be told.
    pub datagrams_replayed: u64,
    /// Datagrams of which nothing was taken in, because their senders do not hold this node's record and have not proved
    /// yet that they receive what is sent to their addresses. Each was asked to, if that took no more bytes than it had.
    pub datagrams_unproved: u64,
    /// Updates that were news.
    pub updates_new: u64,
    /// Updates that were known or outdated.
    pub updates_known: u64,
    /// Updates refused: past their time.
    pub updates_expired: u64,
    /// Updates refused: stamped after the year 2500.
    pub updates_ahead: u64,
    /// Updates refused: they end more than 400 days ahead.
    pub updates_too_long: u64,
    /// Updates refused: the node holds as many members or items as it may.
    pub updates_full: u64,
    /// Updates refused: the node holds as many bytes as it may.
    pub updates_full_bytes: u64,
    /// Updates refused: the node holds as much of their writer's as it may.
    pub updates_full_share: u64,
    /// Death certificates pushed out by later ones, because the node holds as many as it may.
    pub certificates_pushed_out: u64,
    /// Values set aside after an absence: others may have deleted them meanwhile, and forgotten that.
    pub values_set_aside: u64,
    /// Values not set aside because there was no room: what was deleted may be back.
    pub values_not_set_aside: u64,
    /// Values of this member's shares that were lost, since two boots of it had written without knowing of each other. Each is told
    /// as an event.
    pub shares_lost: u64,
    /// Messages not looked at because there was too much in their datagram.
    pub work_dropped: u64,
    /// Updates refused: records of members that are not admitted.
    pub updates_not_admitted: u64,
    /// Updates refused: larger than this node takes.
    pub updates_oversized: u64,
    /// Members that were asked whether they are there, before their records were believed: nobody knew them here, and they
    /// are old enough to have been forgotten.
    pub members_asked: u64,
    /// Datagrams that came after this node had left.
    pub datagrams_after_leaving: u64,
    /// Messages dropped because the outbox was full.
    pub outbox_dropped: u64,
    /// Messages dropped because no datagram has room for them.
    pub outbox_unsendable: u64,
    /// Links in the overlay that ended because the neighbour was silent.
    pub links_ended: u64,
    /// Datagrams over links that were not confirmed in time; what they carried was offered again.
    pub links_repeated: u64,
    /// Items not sent over a link, or not asked for, because too many waited.
    pub links_dropped: u64,
    /// Rumors that cooled because there were too many.
    pub hot_dropped: u64,
    /// Owned entries of unknown members dropped because there were too many.
    pub parked_dropped: u64,
    /// Events on members and entries that the application did not fetch before there were too many.
    pub events_dropped: u64,
    /// Broadcasts, unicast messages and questions that the application did not fetch in time.
    pub undelivered_dropped: u64,
    /// Messages to this member that were refused: of no living member, too late to tell whether they came before, or the
    /// application had too many to fetch. An acknowledged one comes again.
    pub unicasts_refused: u64,
    /// Acknowledged messages and answers sent again, since no receipt had come.
    pub unicasts_repeated: u64,
    /// Acknowledged messages and answers given up without a receipt.
    pub unicasts_given_up: u64,
    /// Questions dropped because too many waited for this application's answer.
    pub questions_dropped: u64,
    /// Answers that came twice, or after their query had ended.
    pub answers_late: u64,
    /// Values too large for a datagram that this node set out to fetch.
    pub transfers_begun: u64,
    /// Those that came whole, and were what they should be.
    pub transfers_completed: u64,
    /// Those that nobody gave, or not as they should be: anti-entropy will find another holder.
    pub transfers_failed: u64,
    /// Those given up because the value was overwritten meanwhile.
    pub transfers_overtaken: u64,
    /// Those not begun because there were too many: anti-entropy will find them missing again.
    pub transfers_refused: u64,
    /// Anti-entropy exchanges begun here.
    pub exchanges: u64,
    /// Members probed: one in every protocol period.
    pub probes: u64,
    /// Messages with network coordinates taken in.
    pub coordinates_received: u64,
    /// Pings repeated within their period, because no answer had come within a round trip.
    pub pings_repeated: u64,
    /// Protocol periods that lasted longer than configured, because a round trip does: `probe.period` is too short for the path.
    pub periods_stretched: u64,
    /// Probes that nobody answered within their period, neither directly nor through others.
    pub probes_failed: u64,
    /// Members suspected here.
    pub suspicions: u64,
    /// Members declared dead here.
    pub deaths: u64,
    /// Checks of members that did not answer at the addresses in their records, while their datagrams came from elsewhere or
    /// they denied being dead.
    pub members_unreached: u64,
    /// Comparisons of short and long datagrams, begun because something long did not seem to arrive.
    pub paths_compared: u64,
    /// Narrow paths found by these.
    pub paths_narrowed: u64,
    /// Times that this node refuted what was said of it.
    pub refutations: u64,
}

impl<A: Address> Node<A> {
    /// Returns the counters as they are now.
    pub fn stats(&self) -> Stats {
        let (transfers, links) = (self.transfers.counted(), self.overlay.counted());
        let (paths_compared, paths_narrowed) = self.paths.counted();
        let swim::Counted { probes_failed, suspicions, deaths, unreached } = self.detector.counted();
        Stats {
            transfers_begun: transfers.begun,
            transfers_completed: transfers.completed,
            transfers_failed: transfers.failed,
            transfers_overtaken: transfers.overtaken,
            transfers_refused: transfers.refused,
            probes: self.detector.probes_begun(),
            pings_repeated: self.detector.pings_repeated(),
            periods_stretched: self.detector.periods_stretched(),
            probes_failed,
            suspicions,
            deaths,
            members_unreached: unreached,
            paths_compared,
            paths_narrowed,
            outbox_dropped: self.outbox.dropped(),
            links_ended: links.ended,
            links_repeated: links.repeated,
            links_dropped: links.dropped,
            hot_dropped: self.rumors.dropped(),
            certificates_pushed_out: self.replica.pushed_out(),
            parked_dropped: self.replica.parked_dropped(),
            events_dropped: self.events.dropped(),
            undelivered_dropped: self.events.messages_dropped(),
            unicasts_repeated: self.unicasts.repeated(),
            questions_dropped: self.queries.dropped(),
            answers_late: self.queries.late(),
            ..self.stats.clone()
        }
    }
}
