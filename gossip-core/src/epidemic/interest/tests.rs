//! One test per sentence of Demers et al., section 1.4 (in our words), that speaks of a single site.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::*;
use crate::config::Config;
use Contact::{Unknown, Useful, Useless};

fn policy(response: Response, loss_of_interest: LossOfInterest, k: u32) -> Policy {
    Policy { response, loss_of_interest, k, ..Config::lan().rumor }
}

fn rng() -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(1)
}

/// Returns the interest left after these contacts.
fn after(policy: &Policy, contacts: impl IntoIterator<Item = Contact>) -> Interest {
    let (mut interest, mut rng) = (Interest::new(), rng());
    for contact in contacts {
        interest.contact(policy, contact, &mut rng);
    }
    interest
}

/// The mean number of contacts until interest is lost.
fn lifetime(policy: &Policy, contact: Contact) -> f64 {
    let (trials, mut contacts, mut rng) = (20_000, 0_u32, rng());
    for _ in 0..trials {
        let mut interest = Interest::new();
        while interest.is_hot() {
            interest.contact(policy, contact, &mut rng);
            contacts += 1;
        }
    }
    f64::from(contacts) / f64::from(trials)
}

// Every person hearing the rumor also becomes active.
#[test]
fn who_has_just_heard_is_infective() {
    assert!(Interest::new().is_hot());
    assert_eq!(Interest::new().counter(), 0);
    assert_eq!(Interest::default(), Interest::new());
}

// A sender loses interest only if the recipient already knows the rumor.
#[test]
fn with_feedback_a_useful_contact_never_costs_interest() {
    for loss in [LossOfInterest::Counter, LossOfInterest::Coin] {
        assert!(after(&policy(Response::Feedback, loss, 1), [Useful; 1_000]).is_hot());
    }
}

// When an active individual makes an unnecessary phone call, then with probability 1/k it loses interest. The number
// of such calls is geometric with mean k and deviation √(k(k−1)): 0.04 for the mean of 20,000 at k = 6.
#[test]
fn a_coin_falls_with_probability_one_in_k_at_each_useless_contact() {
    for k in [1, 2, 3, 6] {
        let mean = lifetime(&policy(Response::Feedback, LossOfInterest::Coin, k), Useless);
        assert!((mean - f64::from(k)).abs() < 0.04 * f64::from(k), "k = {k}: {mean}");
    }
}

// A blind variation loses interest with probability 1/k regardless of the recipient.
#[test]
fn a_blind_coin_falls_regardless_of_the_recipient() {
    let blind = policy(Response::Blind, LossOfInterest::Coin, 4);
    for contact in [Unknown, Useless, Useful] {
        let mean = lifetime(&blind, contact);
        assert!((mean - 4.0).abs() < 0.16, "{contact:?}: {mean}");
    }
}

// We lose interest only after k unnecessary contacts.
#[test]
fn a_counter_ends_at_k_useless_contacts_and_not_before() {
    for k in [1_u8, 2, 3, 8, 255] {
        let policy = policy(Response::Feedback, LossOfInterest::Counter, k.into());
        let before = after(&policy, core::iter::repeat_n(Useless, usize::from(k) - 1));
        assert_eq!((before.is_hot(), before.counter()), (true, k - 1));
        assert!(!after(&policy, core::iter::repeat_n(Useless, k.into())).is_hot());
    }
}

// In a row: the reading that reproduces the paper's tables.
#[test]
fn a_useful_contact_starts_the_counter_anew() {
    let policy = policy(Response::Feedback, LossOfInterest::Counter, 3);
    assert!(after(&policy, [Useless, Useless, Useful, Useless, Useless]).is_hot());
    assert!(!after(&policy, [Useless, Useless, Useful, Useless, Useless, Useless]).is_hot());
}

// We can combine counter with blind, remaining infective for k cycles independent of any feedback.
#[test]
fn a_blind_counter_ends_after_k_contacts_independent_of_any_feedback() {
    let blind = policy(Response::Blind, LossOfInterest::Counter, 3);
    for contact in [Unknown, Useless, Useful] {
        assert!(after(&blind, [contact; 2]).is_hot());
        assert!(!after(&blind, [contact; 3]).is_hot());
    }
}

// The paper's network loses nothing; here an answer that does not come says neither.
#[test]
fn with_feedback_an_unanswered_contact_changes_nothing() {
    for loss in [LossOfInterest::Counter, LossOfInterest::Coin] {
        assert!(after(&policy(Response::Feedback, loss, 1), [Unknown; 1_000]).is_hot());
    }
    let counter = policy(Response::Feedback, LossOfInterest::Counter, 2);
    assert!(!after(&counter, [Useless, Unknown, Useless]).is_hot(), "nor does it start the counter anew");
}

// Pull: if any recipient needed the update, the counter is reset; if none did, one is added.
#[test]
fn of_a_cycle_the_most_telling_contact_counts() {
    let cycle = |contacts: &[Contact]| contacts.iter().copied().max();
    assert_eq!(cycle(&[Useless, Useful, Useless]), Some(Useful));
    assert_eq!(cycle(&[Useless, Unknown]), Some(Useless));
    assert_eq!(cycle(&[]), None);
}

// An active individual that has lost interest becomes removed.
#[test]
fn removed_is_for_good() {
    let policy = policy(Response::Feedback, LossOfInterest::Counter, 1);
    assert!(!after(&policy, [Useless, Useful, Unknown, Useful]).is_hot());
}

// Minimization: only the site with the smaller counter is incremented; in the case of equality both must be.
#[test]
fn of_two_who_knew_the_smaller_counter_moves_and_both_if_equal() {
    let policy = policy(Response::Feedback, LossOfInterest::Counter, 3);
    let (fresh, tired) = (after(&policy, [Useless]), after(&policy, [Useless; 2]));
    assert!(fresh.moves(tired.counter()));
    assert!(!tired.moves(fresh.counter()));
    assert!(fresh.moves(fresh.counter()));
}

#[test]
fn beside_one_who_is_removed_the_infective_moves_whatever_k_is() {
    let policy = policy(Response::Feedback, LossOfInterest::Counter, 255);
    let last = after(&policy, [Useless; 254]);
    let removed = after(&policy, [Useless; 255]);
    assert!(last.is_hot() && last.moves(removed.counter()));
    assert!(!removed.moves(last.counter()));
}

#[test]
fn a_hot_list_entry_grows_by_two_bytes() {
    assert_eq!((size_of::<Interest>(), size_of::<Option<Contact>>()), (2, 1));
}
