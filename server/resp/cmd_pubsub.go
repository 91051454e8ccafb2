package resp

import "sort"

func pubsubCommands() []*command {
	const (
		group       = "pubsub"
		subscribing = flagPush | flagPubSub | flagNoScript | flagLoading | flagStale | flagSubs
	)
	list := []*command{
		{name: "subscribe", arity: -2, flags: subscribing | flagNoMulti, since: "2.0.0",
			cost:    "O(N) where N is the number of channels to subscribe to.",
			summary: "Listens for messages published to channels.",
			conn:    func(c *client, args [][]byte) { c.subscribe("subscribe", args[1:], false) }},
		{name: "psubscribe", arity: -2, flags: subscribing | flagNoMulti, since: "2.0.0",
			cost:    "O(N) where N is the number of patterns to subscribe to.",
			summary: "Listens for messages published to channels that match one or more patterns.",
			conn:    func(c *client, args [][]byte) { c.subscribe("psubscribe", args[1:], true) }},
		{name: "unsubscribe", arity: -1, flags: subscribing, since: "2.0.0",
			cost:    "O(N) where N is the number of channels to unsubscribe.",
			summary: "Stops listening to messages posted to channels.",
			conn:    func(c *client, args [][]byte) { c.unsubscribe("unsubscribe", args[1:], false) }},
		{name: "punsubscribe", arity: -1, flags: subscribing, since: "2.0.0",
			cost:    "O(N) where N is the number of patterns to unsubscribe.",
			summary: "Stops listening to messages published to channels that match one or more patterns.",
			conn:    func(c *client, args [][]byte) { c.unsubscribe("punsubscribe", args[1:], true) }},
		{name: "publish", arity: 3, flags: flagPubSub | flagLoading | flagStale | flagFast, since: "2.0.0",
			cost:    "O(N+M) where N is the number of subscribers of the channel and M the number of subscribed patterns.",
			summary: "Posts a message to a channel.", conn: publish},
		{name: "pubsub", arity: -2, since: "2.8.0",
			summary: "A container for Pub/Sub commands.", cost: "Depends on subcommand.",
			subs: []*command{
				{name: "channels", arity: -2, flags: flagPubSub | flagLoading | flagStale, since: "2.8.0",
					summary: "Returns the active channels.", cost: "O(N) where N is the number of active channels", conn: pubsubChannels},
				{name: "numsub", arity: -2, flags: flagPubSub | flagLoading | flagStale, since: "2.8.0",
					summary: "Returns a count of subscribers to channels.", cost: "O(N) where N is the number of requested channels",
					conn: pubsubNumSub},
				{name: "shardchannels", arity: -2, flags: flagPubSub | flagLoading | flagStale, since: "7.0.0",
					summary: "Returns the active shard channels: there are none.", cost: "O(1)",
					conn: func(c *client, _ [][]byte) { c.out.array(0) }},
				{name: "shardnumsub", arity: -2, flags: flagPubSub | flagLoading | flagStale, since: "7.0.0",
					summary: "Returns the count of subscribers of shard channels: there are none.", cost: "O(N) for N channels",
					conn: func(c *client, args [][]byte) {
						c.out.array(2 * len(args[2:]))
						for _, name := range args[2:] {
							c.out.bulk(name)
							c.out.int(0)
						}
					}},
				{name: "numpat", arity: 2, flags: flagPubSub | flagLoading | flagStale, since: "2.8.0",
					summary: "Returns a count of unique pattern subscriptions.", cost: "O(1)", conn: func(c *client, _ [][]byte) {
						_, patterns := c.srv.channels.len()
						c.out.int(int64(patterns))
					}},
				help("pubsub", "2.8.0",
					"CHANNELS [<pattern>]", "    Return the currently active channels matching a <pattern> (default: '*').",
					"NUMPAT", "    Return number of subscriptions to patterns.",
					"NUMSUB [<channel> ...]", "    Return the number of subscribers for the specified channels, excluding",
					"    pattern subscriptions(default: no channels)."),
			}},
	}
	return grouped(group, list)
}

func grouped(group string, list []*command) []*command {
	for _, c := range list {
		c.group = group
	}
	return list
}

// publish replies with how many get the message. In a transaction the message leaves when that has been made.
func publish(c *client, args [][]byte) {
	if c.exec.tx != nil {
		c.events = append(c.events, event{key: string(args[1]), message: string(args[2])})
		c.out.int(int64(c.srv.receivers(string(args[1]))))
		return
	}
	c.out.int(int64(c.srv.publish(string(args[1]), string(args[2]))))
}

func pubsubChannels(c *client, args [][]byte) {
	if len(args) > 3 {
		c.out.err("ERR unknown subcommand or wrong number of arguments for '" + string(printable(args[1])) + "'. Try PUBSUB HELP.")
		return
	}
	cs := c.srv.channels
	cs.mu.RLock()
	var names []string
	for name := range cs.channels {
		if len(args) == 2 || globMatch(args[2], []byte(name), false) {
			names = append(names, name)
		}
	}
	cs.mu.RUnlock()
	sort.Strings(names)
	c.out.array(len(names))
	for _, name := range names {
		c.out.bulkString(name)
	}
}

func pubsubNumSub(c *client, args [][]byte) {
	cs := c.srv.channels
	cs.mu.RLock()
	defer cs.mu.RUnlock()
	c.out.array(2 * len(args[2:]))
	for _, name := range args[2:] {
		c.out.bulk(name)
		c.out.int(int64(len(cs.channels[string(name)])))
	}
}
