//! Counts of what happened. A sweep that never lost a datagram has shown nothing.

use std::fmt;
use std::ops::AddAssign;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counts of what happened in a run.
        #[derive(Debug, Copy, Clone, PartialEq, Eq, Default, serde::Serialize)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl AddAssign for Counters {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)+
            }
        }

        impl Counters {
            /// Every counter with its name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)+].into_iter()
            }
        }
    };
}

counters! {
    /// Datagrams sent.
    datagrams,
    /// Their bytes.
    bytes,
    /// Datagrams delivered.
    delivered,
    /// Lost one by one.
    lost,
    /// Lost in a burst.
    lost_in_burst,
    /// Lost because a scenario names them.
    lost_exactly,
    /// Lost by a rule of the user's own.
    lost_by_rule,
    /// Longer than their path carries.
    lost_by_length,
    /// Lost in a partition.
    blocked,
    /// Arrived at a process that was not there.
    to_nobody,
    /// Did not fit into the socket buffer of a process that stood still.
    overflowed,
    /// Arrived twice.
    duplicated,
    /// Held up.
    delayed,
    /// Overtook another one on its link.
    reordered,
    /// Damaged.
    corrupted,
    /// Refused by the machine.
    refused,
    /// Partitions that began.
    cuts,
    /// Crashes.
    crashes,
    /// Restarts with memory.
    restarts_with_memory,
    /// Restarts without.
    restarts_without_memory,
    /// Pauses.
    pauses,
    /// Processes that started with the id of another.
    twins,
    /// Clocks that went wrong.
    skews,
    /// Nodes that got another address.
    moves,
    /// Processes that were told an address at which nobody is.
    misplaced,
    /// Processes that ran in the place of a node, with ids of their own.
    guests,
    /// Settings of nodes that were changed.
    set,
    /// Settings that went together with nothing else that a node was set to.
    set_refused,
    /// Times at which paths became long.
    far,
    /// Nodes with shorter datagrams than the others.
    shortened,
    /// Memories that were damaged.
    memories_damaged,
    /// Damaged ones of which a process made use.
    damage_taken,
    /// Commands carried out.
    commands,
    /// Commands refused.
    commands_refused,
    /// Messages to all that were delivered.
    deliveries,
    /// Values larger than a datagram that came to somebody.
    large_values,
    /// Events that say a member is suspected.
    suspicions,
    /// The same of one that was there.
    false_suspicions,
    /// Events that say a member has died.
    deaths,
    /// The same of one that was there.
    false_deaths,
    /// Events that say a member has left.
    leaves,
    /// Events that say that one who was suspected is alive.
    refutations,
    /// Events that say that one who had died or left is alive.
    rejoins,
    /// Runs at whose end what an idle cluster sends was measured.
    silences,
}

/// Prints the counts that are not zero.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, count)) in self.iter().filter(|&(_, count)| count > 0).enumerate() {
            write!(f, "{}{name} {count}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
