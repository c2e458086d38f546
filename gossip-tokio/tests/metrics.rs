//! Metrics: one table, which the manual prints, and which is what a recorder gets.

mod common;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use common::gossip::gossip_core::{Config, NodeId};
use common::gossip::metrics::{Kind, TABLE, text};
use common::gossip::{Network, Stats, over};
use common::{pair, run};

#[test]
fn the_manual_prints_the_table() {
    let manual = include_str!("../../gossip-core/docs/operating.md");
    let mut table = String::from("| metric | kind | meaning |\n|---|---|---|\n");
    for metric in TABLE {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
            _ => "gauge",
        };
        writeln!(table, "| `{}` | {kind} | {} |", metric.name, metric.help).unwrap();
    }
    assert!(manual.contains(&table), "this belongs into operating.md, under Metrics:\n{table}");
}

#[test]
fn every_counter_is_a_metric() {
    let stats = serde_json::to_value(Stats::default()).unwrap();
    let names = |part: &str, prefix: &str| {
        let counters = stats[part].as_object().unwrap();
        counters.keys().map(|name| format!("gossip_{prefix}{name}_total")).collect::<BTreeSet<_>>()
    };
    let counted: BTreeSet<_> = names("node", "").union(&names("driver", "driver_")).cloned().collect();
    let told = TABLE.iter().filter(|metric| metric.kind == Kind::Counter).map(|metric| metric.name.to_owned());
    let told: BTreeSet<_> = told.collect();
    let missing: Vec<_> = counted.difference(&told).collect();
    assert!(missing.is_empty(), "these counters need a row in the table of metrics.rs: {missing:?}");
    assert_eq!(told.len(), counted.len());
}

#[test]
fn the_text_has_every_metric_with_its_value() {
    run(|| async {
        let (first, _second) = pair(&Network::default()).await;
        let text = text(&first);
        for metric in TABLE {
            assert!(text.contains(&format!("# HELP {} {}\n# TYPE {} ", metric.name, metric.help, metric.name)));
        }
        assert!(text.contains("\ngossip_members_alive 2\n"), "{text}");
        let sent = text.lines().find_map(|line| line.strip_prefix("gossip_datagrams_sent_total ")).unwrap();
        assert!(sent.parse::<u64>().unwrap() > 0);
        let buckets: Vec<u64> = text
            .lines()
            .filter_map(|line| line.strip_prefix("gossip_round_trip_seconds_bucket{le=\"")?.split_once("\"} "))
            .map(|(_, count)| count.parse().unwrap())
            .collect();
        assert!(buckets.len() > 10 && buckets.is_sorted());
        assert!(
            text.contains(&format!(
                "_bucket{{le=\"+Inf\"}} {}\ngossip_round_trip_seconds_sum ",
                buckets.last().unwrap()
            ))
        );
    });
}

#[cfg(feature = "metrics")]
mod facade {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};

    use super::*;

    #[derive(Clone, Default)]
    struct Recorded(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

    impl Recorded {
        fn cell(&self, key: &Key) -> Arc<AtomicU64> {
            let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            let name = format!("{}{{{}}}", key.name(), labels.join(","));
            Arc::clone(self.0.lock().unwrap().entry(name).or_default())
        }
    }

    struct Samples(Arc<AtomicU64>);

    impl HistogramFn for Samples {
        fn record(&self, value: f64) {
            assert!(value > 0.0 && value < 5.0);
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Recorder for Recorded {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.cell(key))
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.cell(key))
        }
        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(Arc::new(Samples(self.cell(key))))
        }
    }

    #[test]
    fn a_recorder_gets_what_every_node_counts() {
        let recorded = Recorded::default();
        metrics::set_global_recorder(recorded.clone()).unwrap_or_else(|_| panic!("there was none"));
        run(|| async move {
            let network = Network::default();
            let node = async |id: u64| {
                let builder = over(network.attach(id).unwrap(), id).id(NodeId::new(id)).config(Config::local());
                builder.join((id != 1).then_some(1)).spawn().await.unwrap()
            };
            let (first, second) = (node(1).await, node(2).await);
            first.wait_members(2).await.unwrap();
            second.wait_members(2).await.unwrap();
            let value =
                |name: &str| recorded.0.lock().unwrap().get(name).map_or(0, |value| value.load(Ordering::Relaxed));
            // The driver does it by itself, within a second.
            common::runtime::sleep(common::millis(2_500)).await;
            assert!(value("gossip_datagrams_sent_total{node=0000000000000002}") > 0);
            assert_eq!(f64::from_bits(value("gossip_members_alive{node=0000000000000001}")), 2.0);
            common::gossip::metrics::report(&first);
            let sent = first.stats().node.datagrams_sent;
            assert!(sent - value("gossip_datagrams_sent_total{node=0000000000000001}") < 5);
            let trips = first.inspect(|node| node.round_trips().count());
            let told = value("gossip_round_trip_seconds{node=0000000000000001}");
            assert!(0 < told && told <= trips, "each once: {told} of {trips}");
        });
    }
}
