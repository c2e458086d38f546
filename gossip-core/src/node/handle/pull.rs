//! Messages of pulling.

use super::Node;
use crate::address::Address;
use crate::epidemic::anti_entropy::PageOutcome;
use crate::node::large::Described;
use crate::node::learn::Source;
use crate::wire::{Page, Pull};

impl<A: Address> Node<A> {
    pub(super) fn on_pull(&mut self, from: &A, message: Pull<A>) {
        match message {
            Pull::Pages(request) => {
                let (anti_entropy, mut context) = self.anti_entropy();
                anti_entropy.on_pull(from, request, &mut context);
            }
            Pull::Page(page) => self.on_page(from, page),
            Pull::Fetch(request) => {
                let (transfers, mut context) = self.transfers_at_work();
                transfers.on_fetch(from, request, &mut context);
            }
            Pull::Chunk(chunk) => self.on_chunk(from, &chunk),
            Pull::Gone { item } => {
                let (transfers, mut context) = self.transfers_at_work();
                transfers.on_gone(from, item, &mut context);
            }
        }
    }

    fn on_page(&mut self, from: &A, Page { range, last, updates, large }: Page<A>) {
        let mut brought = PageOutcome { items: updates.len() + large.len(), ..PageOutcome::default() };
        let news = updates.into_iter().filter_map(|update| self.learn(update, Source::CatchUp, Some(from)));
        brought.news = news.count();
        for descriptor in large {
            let heard = self.hear_of(descriptor, Source::CatchUp, from);
            brought.news += usize::from(heard == Described::Fetched);
            brought.later += usize::from(heard == Described::Later);
        }
        let (anti_entropy, mut context) = self.anti_entropy();
        anti_entropy.on_page(from, range, brought, last, &mut context);
    }
}
