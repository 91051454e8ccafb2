package resp

import (
	"sort"
	"strings"
)

// describeAll replies with what COMMAND says of commands; nil is one that there is not.
func (c *client) describeAll(list []*command) {
	c.out.array(len(list))
	for _, cmd := range list {
		c.describeCommand(cmd)
	}
}

func (c *client) describeCommand(cmd *command) {
	if cmd == nil {
		c.out.null()
		return
	}
	c.out.array(10)
	c.out.bulkString(cmd.full)
	c.out.int(int64(cmd.arity))
	c.words(cmd.flagWords())
	c.out.int(int64(cmd.keys.first))
	c.out.int(int64(cmd.keys.last))
	c.out.int(int64(cmd.keys.step))
	c.words(cmd.categories())
	c.out.array(0) // tips
	c.keySpecs(cmd)
	c.out.array(len(cmd.subs))
	for _, sub := range cmd.subs {
		c.describeCommand(sub)
	}
}

// words writes a set of simple strings.
func (c *client) words(list []string) {
	c.out.set(len(list))
	for _, w := range list {
		c.out.simple(w)
	}
}

func (c *command) flagWords() []string {
	var words []string
	for _, f := range flagNames {
		if c.flags&f.flag != 0 {
			words = append(words, f.name)
		}
	}
	return words
}

// categories are those of the access lists.
func (c *command) categories() []string {
	var words []string
	add := func(yes bool, word string) {
		if yes {
			words = append(words, word)
		}
	}
	add(c.keys.first != 0 || c.group == "generic", "@keyspace")
	add(c.flags&flagRead != 0, "@read")
	add(c.flags&flagWrite != 0, "@write")
	add(c.group == "string", "@string")
	add(c.flags&flagPubSub != 0, "@pubsub")
	add(c.flags&flagAdmin != 0, "@admin")
	add(c.flags&flagFast != 0, "@fast")
	add(c.flags&flagFast == 0, "@slow")
	add(c.flags&(flagAdmin|flagDangerous) != 0, "@dangerous")
	add(c.group == "connection", "@connection")
	add(c.group == "transactions", "@transaction")
	return words
}

// keySpecs says where the keys are, once more, as newer clients read it.
func (c *client) keySpecs(cmd *command) {
	k := cmd.keys
	if k.first == 0 {
		c.out.array(0)
		return
	}
	access := "RO"
	if cmd.flags&flagWrite != 0 {
		access = "RW"
	}
	last := int64(k.last)
	if last >= 0 {
		last -= int64(k.first) // which counts from the first
	}
	c.out.array(1)
	c.out.mapOf(3)
	c.out.bulkString("flags")
	c.words([]string{access})
	c.out.bulkString("begin_search")
	c.out.mapOf(2)
	c.out.bulkString("type")
	c.out.bulkString("index")
	c.out.bulkString("spec")
	c.out.mapOf(1)
	c.out.bulkString("index")
	c.out.int(int64(k.first))
	c.out.bulkString("find_keys")
	c.out.mapOf(2)
	c.out.bulkString("type")
	c.out.bulkString("range")
	c.out.bulkString("spec")
	c.out.mapOf(3)
	c.out.bulkString("lastkey")
	c.out.int(last)
	c.out.bulkString("keystep")
	c.out.int(int64(k.step))
	c.out.bulkString("limit")
	c.out.int(0)
}

func commandInfo(c *client, args [][]byte) {
	if len(args) == 2 {
		c.describeAll(c.srv.table.list)
		return
	}
	var list []*command
	for _, name := range args[2:] {
		list = append(list, c.srv.table.find(string(name)))
	}
	c.describeAll(list)
}

func commandDocs(c *client, args [][]byte) {
	list := c.srv.table.list
	if len(args) > 2 {
		list = nil
		for _, name := range args[2:] {
			if cmd := c.srv.table.find(string(name)); cmd != nil {
				list = append(list, cmd)
			}
		}
	}
	c.out.mapOf(len(list))
	for _, cmd := range list {
		c.document(cmd)
	}
}

// document writes a command's name and its documentation, as the pair of a map.
func (c *client) document(cmd *command) {
	c.out.bulkString(cmd.full)
	n := 4
	if len(cmd.subs) > 0 {
		n++
	}
	c.out.mapOf(n)
	for _, pair := range [][2]string{
		{"summary", cmd.summary}, {"since", cmd.since}, {"group", cmd.group}, {"complexity", cmd.cost},
	} {
		c.out.bulkString(pair[0])
		c.out.bulkString(pair[1])
	}
	if len(cmd.subs) > 0 {
		c.out.bulkString("subcommands")
		c.out.mapOf(len(cmd.subs))
		for _, sub := range cmd.subs {
			c.document(sub)
		}
	}
}

func commandList(c *client, args [][]byte) {
	keep := func(*command) bool { return true }
	switch {
	case len(args) == 2:
	case len(args) == 5 && equalFold(args[2], "filterby") && equalFold(args[3], "module"):
		keep = func(*command) bool { return false }
	case len(args) == 5 && equalFold(args[2], "filterby") && equalFold(args[3], "aclcat"):
		keep = func(cmd *command) bool {
			for _, cat := range cmd.categories() {
				if cat == "@"+string(lowered(args[4])) {
					return true
				}
			}
			return false
		}
	case len(args) == 5 && equalFold(args[2], "filterby") && equalFold(args[3], "pattern"):
		keep = func(cmd *command) bool { return globMatch(args[4], []byte(cmd.full), true) }
	default:
		c.out.err(errSyntax)
		return
	}
	var names []string
	for _, cmd := range c.srv.table.all {
		if (!strings.Contains(cmd.full, "|") || len(args) == 5) && keep(cmd) {
			names = append(names, cmd.full)
		}
	}
	sort.Strings(names)
	c.out.array(len(names))
	for _, name := range names {
		c.out.bulkString(name)
	}
}

func commandGetKeys(c *client, args [][]byte) {
	cmd, refusal := c.find(args[2:])
	if cmd == nil || refusal != "" {
		c.out.err("ERR Invalid command specified")
		return
	}
	keys, ok := cmd.keyArgs(args[2:])
	switch {
	case !ok:
		c.out.err("ERR The command has no key arguments")
	case !cmd.arityFits(len(args) - 2):
		c.out.err("ERR Invalid number of arguments specified for command")
	default:
		c.out.array(len(keys))
		for _, key := range keys {
			c.out.bulk(key)
		}
	}
}
