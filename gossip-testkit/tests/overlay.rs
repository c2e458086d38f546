//! Links between neighbours, and the tree of eager links that is never trusted: `rumor.relay = "tree"`.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use gossip_core::{Config, Membership, Node, Relay};
use gossip_testkit::invariant::{Invariant, Violation, World};
use gossip_testkit::lab::real::{Preset, Spread};
use gossip_testkit::{Addr, Boot, Checker, Cluster, Command, Links, Machine, Swarm, Wrapper};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// Links of a node that are not doubted, and all of them, at a degree of 5.
const MOST: [usize; 2] = [6, 11];

fn tree() -> Config {
    let mut config = Config::lan();
    config.rumor.relay = Relay::Tree;
    config
}

/// Neighbours by node.
type Graph = BTreeMap<Addr, BTreeSet<Addr>>;

fn graph<'a>(nodes: impl Iterator<Item = (Addr, &'a Node<Addr>)>) -> Graph {
    let neighbours = |node: &Node<Addr>| node.neighbours().map(|link| Addr(link.id.get() as u32)).collect();
    nodes.map(|(at, node)| (at, neighbours(node))).collect()
}

/// Finds what is wrong with the links of a cluster at rest.
fn flaw(graph: &Graph, degree: usize) -> Option<String> {
    for (node, links) in graph {
        if let Some(other) = links.iter().find(|other| !graph.get(other).is_some_and(|links| links.contains(node))) {
            return Some(format!("node {node} has a link with node {other}, which has none with it"));
        }
        if links.len() > degree + 1 {
            return Some(format!("node {node} has {} links, at most {} are allowed", links.len(), degree + 1));
        }
        if links.is_empty() && graph.len() > 1 {
            return Some(format!("node {node} has no link"));
        }
    }
    let first = graph.keys().next()?;
    let (mut reached, mut next) = (BTreeSet::from([*first]), vec![*first]);
    while let Some(node) = next.pop() {
        next.extend(graph[&node].iter().filter(|other| reached.insert(**other)));
    }
    let missing = graph.keys().find(|node| !reached.contains(node))?;
    Some(format!("there is no way along links from node {first} to node {missing}"))
}

#[test]
fn a_graph_that_is_one_sided_crowded_or_in_pieces_is_found() {
    let graph = |edges: &[(u32, u32)]| {
        let mut graph = Graph::new();
        for (from, to) in edges {
            graph.entry(Addr(*from)).or_default().insert(Addr(*to));
            graph.entry(Addr(*to)).or_default();
        }
        graph
    };
    let both = |edges: &[(u32, u32)]| graph(&edges.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]).collect::<Vec<_>>());
    assert_eq!(flaw(&both(&[(0, 1), (1, 2)]), 5), None);
    assert!(flaw(&graph(&[(0, 1), (1, 0), (1, 2)]), 5).unwrap().contains("has none with it"));
    assert!(flaw(&both(&[(0, 1), (2, 3)]), 5).unwrap().contains("no way"));
    let star: Vec<_> = (1..=7).map(|leaf| (0, leaf)).collect();
    assert!(flaw(&both(&star), 5).unwrap().contains("7 links"));
}

/// A machine with a node inside.
trait HasNode {
    fn node(&self) -> &Node<Addr>;
}

impl HasNode for Node<Addr> {
    fn node(&self) -> &Node<Addr> {
        self
    }
}

/// Links are bounded at every moment, and sound when a run ends at rest.
#[derive(Default)]
struct SoundLinks {
    looked: Rc<Cell<u32>>,
}

impl<M: Machine + HasNode> Invariant<M> for SoundLinks {
    fn name(&self) -> &'static str {
        "sound links"
    }

    fn stepped(&mut self, world: &World<'_, M>, node: Addr) -> Result<(), Violation> {
        let links: Vec<bool> = world
            .machine(node)
            .into_iter()
            .flat_map(|machine| machine.node().neighbours())
            .map(|link| link.doubted)
            .collect();
        let sure = links.iter().filter(|doubted| !**doubted).count();
        if sure <= MOST[0] && links.len() <= MOST[1] {
            return Ok(());
        }
        Err(Violation::new(format!("node {node} has {sure} links and {} doubted ones", links.len() - sure)))
    }

    fn finished(&mut self, world: &World<'_, M>) -> Result<(), Violation> {
        // Where datagrams are lost for ever, somebody is always doubted.
        if world.plan().lasting_loss().as_ppm() > 0 {
            return Ok(());
        }
        for group in world.groups() {
            let links = graph(group.into_iter().map(|(at, machine)| (at, machine.node())));
            let known: BTreeSet<Addr> = links.keys().copied().collect();
            if links.values().flatten().any(|other| !known.contains(other)) {
                // With one who stands still, or was not found dead yet.
                continue;
            }
            self.looked.set(self.looked.get() + 1);
            if let Some(flaw) = flaw(&links, 5) {
                return Err(Violation::new(flaw));
            }
        }
        Ok(())
    }
}

#[test]
fn random_scenarios_of_every_class_converge_and_leave_sound_links() {
    let looked = Rc::new(Cell::new(0));
    let counted = looked.clone();
    // One-sided links are found by the probes of a round or two.
    let checker =
        Checker::<Node<Addr>>::new(tree()).settle(60).invariant(move |_| SoundLinks { looked: counted.clone() });
    let sweep = checker.sweep(&Swarm::default(), 0..300).unwrap();
    println!("{sweep}; looked at the links of {} groups", looked.get());
    assert!(looked.get() > 200);
    let given = Config { membership: Membership::Given, ..tree() };
    Checker::<Node<Addr>>::new(given).sweep(&Swarm::default(), 0..60).unwrap();
    let mut twins = Swarm::default();
    twins.classes.push("twin");
    Checker::<Node<Addr>>::new(tree()).sweep(&twins, 0..60).unwrap();
}

/// A node of eight had seven links: after a time of loss those it had doubted were back, and so were their substitutes.
#[test]
fn a_doubted_neighbour_that_is_back_and_its_substitute_are_not_both_kept() {
    let scenario = r#"seed 1; nodes 0-7; seeds 2; at 15s node 3: put "k0" "a66"; loss 35% on * -> * from 15s to 20s;"#;
    let checker = Checker::<Node<Addr>>::new(tree()).settle(60).invariant(|_| SoundLinks::default());
    checker.run(&scenario.parse().unwrap()).unwrap();
}

fn linked(nodes: u32, seed: u64) -> Cluster {
    let mut cluster = Cluster::<Node<Addr>>::builder(nodes, tree()).seed(seed).build();
    cluster.run_for(20 * SECOND);
    assert!(cluster.sees_all(), "{nodes} nodes do not find each other, seed {seed}");
    cluster
}

#[test]
fn links_are_symmetric_few_and_connect_all_and_cost_nothing_at_rest() {
    for nodes in [2, 3, 6, 8, 30, 100] {
        let mut cluster = linked(nodes, u64::from(nodes));
        let links = graph(cluster.live());
        assert_eq!(flaw(&links, 5), None, "{nodes} nodes: {links:?}");
        let mean = links.values().map(BTreeSet::len).sum::<usize>() as f64 / f64::from(nodes);
        assert!(mean >= f64::from(nodes - 1).min(4.5) && mean <= 5.5, "{nodes} nodes: {mean} links each");
        let with = cluster.measure(60 * SECOND);
        let mut random = tree();
        random.rumor.relay = Relay::Random;
        let mut without = Cluster::<Node<Addr>>::builder(nodes, random).seed(u64::from(nodes)).build();
        without.run_for(20 * SECOND);
        let without = without.measure(60 * SECOND);
        println!("{nodes} nodes: {} bytes with links, {} without", with.bytes, without.bytes);
        // Two bytes on a probe or ack between neighbours.
        assert!(with.bytes as f64 <= 1.06 * without.bytes as f64, "{nodes} nodes");
        assert!(with.datagrams as f64 <= 1.03 * without.datagrams as f64, "{nodes} nodes");
    }
}

#[test]
fn a_write_reaches_everybody_sooner_and_in_fewer_copies_than_by_random_peers() {
    let preset = Preset::Lan;
    let spread = |relay, loss| {
        let mut config = Config::lan();
        config.rumor.relay = relay;
        let spread = Spread { nodes: 100, config, latency: preset.latency(), loss };
        let course = spread.run(1, &|| ()).expect("it comes to rest");
        (course.share(0.99).unwrap(), course.share(1.0).unwrap(), course.copies_per_node)
    };
    for (loss, most) in [(0.0, 1.2), (0.1, 1.5), (0.3, 2.0)] {
        let (tree, random) = (spread(Relay::Tree, loss), spread(Relay::Random, loss));
        println!("loss {loss}: {tree:?}, by random peers {random:?}");
        assert!(tree.1 <= random.1 && tree.2 <= most, "loss {loss}");
    }
}

/// Writes at node 0, and returns how long that takes to all that run.
fn write(cluster: &mut Cluster, name: &str) -> Option<Duration> {
    cluster.command(0, &Command::put(name, "x")).expect("it is short");
    cluster.run_until(5 * SECOND, MS, |cluster| cluster.live().all(|(_, node)| node.get(name).is_some()))
}

#[test]
fn a_write_just_as_half_of_all_nodes_die_reaches_all_the_others_within_half_a_second() {
    for seed in 0..5 {
        let mut cluster = linked(200, seed);
        (1..=100).for_each(|node| cluster.crash(node));
        let took = write(&mut cluster, "a").expect("it reaches all");
        println!("seed {seed}: {took:?}");
        assert!(took <= 500 * MS, "{took:?}");
    }
}

#[test]
fn what_a_partition_cut_grows_together_and_news_crosses_at_once() {
    let mut cluster = linked(60, 7);
    cluster.partition(0..30, 30..60);
    for round in 0..40 {
        cluster.command(0, &Command::put("a", format!("{round}"))).expect("it is short");
        cluster.command(59, &Command::put("b", format!("{round}"))).expect("it is short");
        cluster.run_for(3 * SECOND);
    }
    cluster.heal();
    let healed = cluster.run_until(120 * SECOND, SECOND, Cluster::sees_all);
    assert!(healed.is_some());
    cluster.run_for(60 * SECOND);
    let links = graph(cluster.live());
    assert_eq!(flaw(&links, 5), None, "{links:?}");
    let across = links.iter().filter(|(node, _)| node.0 < 30).flat_map(|(_, links)| links).filter(|link| link.0 >= 30);
    println!("{} links across", across.count());
    write(&mut cluster, "first").expect("it reaches all");
    let took = write(&mut cluster, "second").expect("it reaches all");
    assert!(took <= 100 * MS, "{took:?}");
}

/// Links that carry bodies, each once.
fn eager(cluster: &Cluster) -> BTreeSet<(Addr, Addr)> {
    let links = |(at, node): (Addr, &Node<Addr>)| {
        let eager: Vec<_> = node.neighbours().filter(|link| link.eager).collect();
        eager.into_iter().map(move |link| {
            let other = Addr(link.id.get() as u32);
            (at.min(other), at.max(other))
        })
    };
    cluster.live().flat_map(links).collect()
}

#[test]
fn a_tree_whose_branches_are_cut_is_another_tree_at_once() {
    for seed in 0..5 {
        let mut cluster = linked(60, seed);
        for round in 0..10 {
            write(&mut cluster, &format!("warm {round}")).expect("it reaches all");
            cluster.run_for(SECOND);
        }
        let branches = eager(&cluster);
        assert!((59..90).contains(&branches.len()), "{} branches of 60 nodes", branches.len());
        for (from, to) in &branches {
            cluster.cut(Links::new(*from, *to), true);
        }
        let took = write(&mut cluster, "cut").expect("it reaches all");
        println!("seed {seed}: {} branches cut: {took:?}", branches.len());
        assert!(took <= 500 * MS, "{took:?}");
    }
}

/// A node that has no room for what it is sent, and confirms that it came.
#[derive(Debug)]
struct Cramped(Node<Addr>);

impl Wrapper for Cramped {
    type Inner = Node<Addr>;
    type Config = Config;
    type Memory = <Node<Addr> as Machine>::Memory;

    fn inner(&self) -> &Node<Addr> {
        &self.0
    }

    fn inner_mut(&mut self) -> &mut Node<Addr> {
        &mut self.0
    }

    fn inner_config(config: &Config) -> &Config {
        config
    }

    fn boot(boot: &Boot<'_, Config>, memory: Option<Self::Memory>) -> Self {
        let mut config = boot.config.clone();
        if boot.addr.0 % 5 == 3 {
            config.limits.entries = 1;
        }
        Self(Machine::boot(&boot.with_config(&config), memory))
    }

    fn into_memory(self) -> Self::Memory {
        self.0.into_memory()
    }
}

#[test]
fn a_fifth_of_all_nodes_that_confirm_and_drop_hold_nobody_up() {
    let mut cluster = Cluster::<Cramped>::builder(40, tree()).seed(1).build();
    cluster.run_for(20 * SECOND);
    for round in 0..30 {
        let name = format!("{round}");
        cluster.command(0, &Command::put(&name, "x")).expect("it is short");
        let all = |cluster: &Cluster<Cramped>| {
            cluster.live().filter(|(at, _)| at.0 % 5 != 3).all(|(_, node)| node.0.get(&name).is_some())
        };
        let took = cluster.run_until(5 * SECOND, MS, all).expect("it reaches all that have room");
        assert!(took <= 200 * MS, "{name}: {took:?}");
        cluster.run_for(SECOND / 5);
    }
    let full = cluster.live().filter(|(_, node)| node.0.get("29").is_none()).count();
    assert_eq!(full, 8);
}

/// A bug of nodes, each of which breaks one of the rules of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    /// Two more links than the others allow.
    Crowded,
    /// Every request for a link is refused.
    Refusing,
}

/// A node of which every third has a bug.
#[derive(Debug)]
struct Flawed(Node<Addr>);

impl HasNode for Flawed {
    fn node(&self) -> &Node<Addr> {
        &self.0
    }
}

impl Wrapper for Flawed {
    type Inner = Node<Addr>;
    type Config = (Config, Bug);
    type Memory = <Node<Addr> as Machine>::Memory;

    fn inner(&self) -> &Node<Addr> {
        &self.0
    }

    fn inner_mut(&mut self) -> &mut Node<Addr> {
        &mut self.0
    }

    fn inner_config((config, _): &(Config, Bug)) -> &Config {
        config
    }

    fn boot(boot: &Boot<'_, (Config, Bug)>, memory: Option<Self::Memory>) -> Self {
        let (mut config, bug) = boot.config.clone();
        let bug = if boot.addr.0.is_multiple_of(3) { bug } else { Bug::None };
        match bug {
            Bug::Crowded => config.overlay.degree += 2,
            Bug::Refusing => config.rumor.relay = Relay::Random,
            Bug::None => {}
        }
        Self(Machine::boot(&boot.with_config(&config), memory))
    }

    fn into_memory(self) -> Self::Memory {
        self.0.into_memory()
    }
}

#[test]
fn too_many_links_and_none_are_found_where_every_third_node_has_a_bug() {
    let find = |bug| {
        let checker =
            Checker::<Flawed>::new((tree(), bug)).settle(60).most_runs(50).invariant(|_| SoundLinks::default());
        let swarm = Swarm { nodes: 9..=12, ..Swarm::default() };
        checker.sweep(&swarm, 0..30).err().map(|failure| failure.to_string())
    };
    assert_eq!(find(Bug::None), None);
    for (bug, said) in [(Bug::Crowded, "links and 0 doubted"), (Bug::Refusing, "has no link")] {
        let found = find(bug).unwrap_or_else(|| panic!("{bug:?} is not found"));
        println!("{bug:?}: {found}");
        assert!(found.contains(said), "{bug:?}: {found}");
    }
}
