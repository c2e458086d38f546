//! Choice of the members that a query asks. It travels with the query, so each member decides for itself.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::About;
use crate::id::NodeId;

/// Choice of members by id, name and tags: all members, unless something is demanded. Of ids and names together one must fit,
/// of tags all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    ids: Vec<NodeId>,
    names: Vec<SmolStr>,
    tags: Vec<(SmolStr, SmolStr)>,
}

impl Filter {
    /// Every member.
    pub const ALL: Self = Self { ids: Vec::new(), names: Vec::new(), tags: Vec::new() };

    /// Chooses these members, besides others that are chosen by name.
    pub fn ids(mut self, ids: impl IntoIterator<Item = NodeId>) -> Self {
        self.ids.extend(ids);
        self
    }

    /// Chooses the members of these names, besides others that are chosen by id.
    pub fn names(mut self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.names.extend(names.into_iter().map(|name| SmolStr::new(name.as_ref())));
        self
    }

    /// Leaves only members that have this tag with this value.
    pub fn tag(mut self, key: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.tags.push((SmolStr::new(key.as_ref()), SmolStr::new(value.as_ref())));
        self
    }

    /// Returns whether a member is chosen. `about`: its name and tags.
    pub(crate) fn chooses(&self, id: NodeId, about: Option<&About>) -> bool {
        let named = || about.and_then(About::name).is_some_and(|name| self.names.iter().any(|wanted| wanted == name));
        let any = self.ids.is_empty() && self.names.is_empty();
        let tags = About::tags_of(about);
        (any || self.ids.contains(&id) || named()) && self.tags.iter().all(|(key, value)| tags.get(key) == Some(value))
    }
}

/// Demand of a broadcast that asks for answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asks {
    /// Members that are to answer.
    pub filter: Filter,
    /// Part of a member that answers.
    pub topic: Topic,
}

/// Part of a member that answers a query.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Topic {
    /// The application.
    #[default]
    Application,
    /// The node itself, about its keys.
    Keys,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::Tags;

    #[test]
    fn of_ids_and_names_one_must_fit_and_of_tags_all() {
        let (one, two) = (NodeId::new(1), NodeId::new(2));
        let about = About::of("a".into(), Tags::of([("role", "db"), ("zone", "x")]).unwrap());
        let chooses = |filter: &Filter, id| filter.chooses(id, about.as_ref());
        assert!(chooses(&Filter::ALL, one) && Filter::ALL.chooses(two, None));
        assert!(chooses(&Filter::ALL.ids([one]), one) && !chooses(&Filter::ALL.ids([one]), two));
        assert!(chooses(&Filter::ALL.ids([one]).names(["a"]), two));
        assert!(!chooses(&Filter::ALL.names(["b", ""]), one) && !Filter::ALL.names([""]).chooses(one, None));
        assert!(chooses(&Filter::ALL.tag("role", "db").tag("zone", "x"), one));
        assert!(!chooses(&Filter::ALL.tag("role", "db").tag("zone", "y"), one));
        assert!(
            !chooses(&Filter::ALL.ids([two]).tag("role", "db"), one) && !Filter::ALL.tag("a", "").chooses(one, None)
        );
    }
}
