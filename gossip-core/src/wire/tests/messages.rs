//! Messages of any content, for property tests.

use std::sync::Arc;

use super::*;

pub(super) fn unicast() -> impl Strategy<Value = Unicast> {
    let payload = || proptest::collection::vec(any::<u8>(), 0..99).prop_map(Arc::<[u8]>::from);
    let stamp = || {
        any::<(u64, u32, u64)>().prop_map(|(time, counter, node)| Stamp {
            time: Instant::from_micros(time),
            counter,
            node: NodeId::new(node),
        })
    };
    let content = prop_oneof![
        payload().prop_map(Content::Payload),
        stamp().prop_map(Content::Received),
        (stamp(), payload()).prop_map(|(stamp, payload)| Content::Response(stamp, payload)),
        stamp().prop_map(Content::Declined),
    ];
    prop_oneof![
        payload().prop_map(|payload| Unicast::Note { payload }),
        (any::<(u32, u32)>(), content).prop_map(|((session, number), content)| Unicast::Post(Post {
            session,
            number,
            content
        })),
        any::<(u32, u32)>().prop_map(|(session, number)| Unicast::Receipt { session, number }),
    ]
}
