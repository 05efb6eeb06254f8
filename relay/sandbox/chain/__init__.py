"""Own what the sandbox's chain is, for those who do not load an EVM."""

from __future__ import annotations

CHAIN_ID = 131277322940537  # eth-tester's own: nobody takes it for a real chain
# Where the first contract of eth-tester's first account stands, whatever it is: an address follows from its maker and a count.
CONTRACT = "0xf2e246bb76df876cef8b38ae84130f4f55de395b"
# Another token with eighteen places, by an account that does nothing else; so its address, too, is always the same.
FINE = "0x3c652d2c3cfbad2019fd3c440c6710e8a8443b4a"
MAKER = "0xb071937ef53bd37edb65a2ee6e623335186be69e"
# A block is final when that many stand on it: some seconds longer than a relay takes to come by, so that it sees blocks that may go again.
LAG = 12
