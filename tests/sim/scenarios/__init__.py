"""Historic ways to lose a write or to get a deleted one back, played by hand through real nodes.

Each test names its scenario, what was lost, and the rule that prevents it; each ends by settling,
when every checker of the simulator looks. Beside it stands, where the rule can be switched off
(plants.py), a test that then sees the loss: `..._is_seen_when_planted`.

    counters that go backwards          1 2 3 4 5
    false siblings and quorums          7 8 9 10 19
    outcomes, pauses, crashes, clocks   15 16 17 18 20
    what was deleted comes back         21 22 24 25 26
    chapter                             what the cluster promises when all is well, or one thing not

Not here, because it does not exist yet:
- scenarios of changing topologies: 6 partition_comes_home, 11 layout_read_before_fill,
  12 bootstrap_before_gossip, 13 twin_epochs, 14 removed_node_returns, 17b a forward of an old
  epoch, 23 tombstone_gc_during_move;
- collection of tombstones in 4, 5, 21 and 22, and tombstones of what has expired in 25: shown is
  that nothing is collected, and what happens when a tombstone is removed by hand;
- 16d, operation ids for retried increments.
"""
