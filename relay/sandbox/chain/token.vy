# pragma version ~=0.4.3
# @notice A dollar token for the sandbox, after USDT's manner: `transfer` returns nothing, and funds can be destroyed without a Transfer.
# The bytecode beside this file is made by vyper 0.4.3: `vyper -f bytecode --evm-version shanghai token.vy > token.hex`.

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256

event DestroyedBlackFunds:
    blackListedUser: address
    balance: uint256

name: public(constant(String[32])) = "Sandbox Tether"
symbol: public(constant(String[8])) = "USDT"
decimals: public(immutable(uint8))
balanceOf: public(HashMap[address, uint256])
totalSupply: public(uint256)


@deploy
def __init__(supply: uint256, places: uint8):
    decimals = places
    self.totalSupply = supply
    self.balanceOf[msg.sender] = supply
    log Transfer(sender=empty(address), receiver=msg.sender, value=supply)


@external
def transfer(_to: address, _value: uint256):
    self.balanceOf[msg.sender] -= _value
    self.balanceOf[_to] += _value
    log Transfer(sender=msg.sender, receiver=_to, value=_value)


# Whoever may do this at Tether, here it is anybody.
@external
def destroyBlackFunds(_blackListedUser: address):
    funds: uint256 = self.balanceOf[_blackListedUser]
    self.balanceOf[_blackListedUser] = 0
    self.totalSupply -= funds
    log DestroyedBlackFunds(blackListedUser=_blackListedUser, balance=funds)


# No honest token can do this: money is gone, and no event tells of it.
@external
def vanish(_owner: address, _value: uint256):
    self.balanceOf[_owner] -= _value
    self.totalSupply -= _value
