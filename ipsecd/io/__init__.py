"""The only room that touches the kernel: TUN, sockets, netlink, nftables, clocks."""
