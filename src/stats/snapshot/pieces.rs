//! *pure* The JSON of a snapshot, piece by piece: that of ten thousand servers takes a while.

use std::mem;

use serde::Serialize;

use super::{PoolSnapshot, ServerStatus, Snapshot};

/// Servers in one piece.
const SERVERS: usize = 64;

/// The text, piece by piece; all together are what [`serde_json::to_string`] makes.
pub struct Pieces {
    /// What stands before the pools.
    head: Option<String>,
    pools: std::vec::IntoIter<PoolSnapshot>,
    /// The servers of the pool that is written which are not yet, and what stands behind them.
    open: Option<(std::vec::IntoIter<ServerStatus>, String)>,
    /// Whether the next pool or server is the first one of its array.
    first: bool,
    /// What stands behind the pools.
    tail: Option<String>,
}

impl Snapshot {
    /// Its JSON in one line, without the line's end.
    ///
    /// # Errors
    ///
    /// When something cannot be written, which plain data always can.
    pub fn pieces(mut self) -> serde_json::Result<Pieces> {
        let pools = mem::take(&mut self.pools).into_iter();
        let (head, tail) = around(&self, "pools")?;
        Ok(Pieces {
            head: Some(head),
            pools,
            open: None,
            first: true,
            tail: Some(tail),
        })
    }
}

/// The JSON of an object with an array that is empty: what stands before what is in the array, and
/// what stands behind that.
fn around(object: &impl Serialize, array: &str) -> serde_json::Result<(String, String)> {
    let mut head = serde_json::to_string(object)?;
    // Only where it is a name: within a text its quotation marks have a backslash.
    let name = format!("\"{array}\":[");
    let place = head.find(&name).map(|at| at + name.len());
    let tail = head.split_off(place.unwrap_or(head.len()));
    Ok((head, tail))
}

impl Pieces {
    fn piece(&mut self) -> serde_json::Result<Option<String>> {
        if let Some(head) = self.head.take() {
            return Ok(Some(head));
        }
        let mut text = String::new();
        let (mut servers, tail) = match self.open.take() {
            Some(open) => open,
            None => {
                let Some(mut pool) = self.pools.next() else {
                    return Ok(self.tail.take());
                };
                text.push_str(if self.first { "" } else { "," });
                let servers = mem::take(&mut pool.servers).into_iter();
                let (head, tail) = around(&pool, "servers")?;
                text.push_str(&head);
                self.first = true;
                (servers, tail)
            }
        };
        for server in servers.by_ref().take(SERVERS) {
            text.push_str(if self.first { "" } else { "," });
            text.push_str(&serde_json::to_string(&server)?);
            self.first = false;
        }
        if servers.len() > 0 {
            self.open = Some((servers, tail));
        } else {
            text.push_str(&tail);
            self.first = false;
        }
        Ok(Some(text))
    }
}

impl Iterator for Pieces {
    type Item = String;

    /// Ends early when something cannot be written, which plain data always can.
    fn next(&mut self) -> Option<String> {
        self.piece().ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use crate::stats::example::snapshot;

    #[test]
    fn the_pieces_are_the_whole_and_none_is_long() {
        let mut many = snapshot();
        many.configuration.error = Some("\"pools\":[ \\\"servers\":[".to_owned());
        many.pools[0].name = "\"servers\":[".to_owned();
        let server = many.pools[0].servers[0].clone();
        many.pools[0].servers = vec![server; 1_000];
        many.pools[1].servers.clear();
        let third = many.pools[1].clone();
        many.pools.push(third);
        let mut none = snapshot();
        none.pools.clear();
        for snapshot in [snapshot(), many, none] {
            let whole = serde_json::to_string(&snapshot).unwrap();
            let pieces: Vec<String> = snapshot.pieces().unwrap().collect();
            assert_eq!(pieces.concat(), whole);
            assert!(pieces.iter().all(|piece| piece.len() < 128 * 1024));
        }
    }
}
