//! Places of a table in an order: whatever is moved goes to the back, so the front is the oldest. Every step costs the
//! same, however many there are.

/// Neighbours of a place in the queue.
#[derive(Clone, Copy, Debug, Default)]
struct Links {
    before: Option<u32>,
    after: Option<u32>,
}

/// A queue that can be left from anywhere in it.
#[derive(Debug)]
pub(crate) struct Queue {
    links: Vec<Links>,
    front: Option<u32>,
    back: Option<u32>,
}

impl Queue {
    /// With room for so many places.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { links: Vec::with_capacity(capacity), front: None, back: None }
    }

    /// Places that there is room for.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.links.capacity()
    }

    pub(crate) fn front(&self) -> Option<u32> {
        self.front
    }

    /// Who stands behind a place that is in the queue.
    pub(crate) fn after(&self, place: u32) -> Option<u32> {
        self.links[place as usize].after
    }

    /// Puts in a place that is not in the queue. Places are given out in turn, so one that was never here is the next.
    pub(crate) fn push_back(&mut self, place: u32) {
        let links = Links { before: self.back, after: None };
        if place as usize == self.links.len() {
            self.links.push(links);
        } else {
            self.links[place as usize] = links;
        }
        match self.back {
            Some(back) => self.links[back as usize].after = Some(place),
            None => self.front = Some(place),
        }
        self.back = Some(place);
    }

    /// Takes out a place that is in the queue.
    pub(crate) fn remove(&mut self, place: u32) {
        let Links { before, after } = self.links[place as usize];
        match before {
            Some(before) => self.links[before as usize].after = after,
            None => self.front = after,
        }
        match after {
            Some(after) => self.links[after as usize].before = before,
            None => self.back = before,
        }
    }

    pub(crate) fn move_to_back(&mut self, place: u32) {
        self.remove(place);
        self.push_back(place);
    }
}
