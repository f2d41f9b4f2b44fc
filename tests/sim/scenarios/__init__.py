"""Historic ways to lose a write or to get a deleted one back, played by hand through real nodes.

Each test names its scenario, what was lost, and the rule that prevents it; each ends by settling,
when every checker of the simulator looks. Beside it stands, where the rule can be switched off
(plants.py), a test that then sees the loss: `..._is_seen_when_planted`.

    counters that go backwards          1 2 3 4 5
    false siblings and quorums          7 8 9 10 19
    outcomes, pauses, crashes, clocks   15 16 17 18 20
    what was deleted comes back         21 22 24 25 26
    owners change                       6 11 17
    members change                      12 14
    decisions                           13
    starts                              what a member goes on with, whatever became of its disk
    collection                          14 21 22 23, with the collector of tombstones
    overload                            a slow owner, floods, hints for who returns
    chapter                             what the cluster promises when all is well, or one thing not

Not here: 16d, operation ids for retried increments, which do not exist.
"""
