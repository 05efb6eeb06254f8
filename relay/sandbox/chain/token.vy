# pragma version ~=0.4.3
# @notice A six-decimals dollar token for the sandbox, after USDT's manner: `transfer` returns nothing.
# The bytecode beside this file is made by vyper 0.4.3: `vyper -f bytecode --evm-version shanghai token.vy > token.hex`.

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256

name: public(constant(String[32])) = "Sandbox Tether"
symbol: public(constant(String[8])) = "USDT"
decimals: public(constant(uint8)) = 6
balanceOf: public(HashMap[address, uint256])
totalSupply: public(uint256)


@deploy
def __init__(supply: uint256):
    self.totalSupply = supply
    self.balanceOf[msg.sender] = supply
    log Transfer(sender=empty(address), receiver=msg.sender, value=supply)


@external
def transfer(_to: address, _value: uint256):
    self.balanceOf[msg.sender] -= _value
    self.balanceOf[_to] += _value
    log Transfer(sender=msg.sender, receiver=_to, value=_value)
