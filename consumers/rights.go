package consumers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Operations is a set of what a user may do with a topic or a group, as
// Kafka's brokers tell it: one bit for each of its operations.
type Operations int32

// The operations that matter here, with the numbers that they have on the wire.
const (
	OperationRead            Operations = 1 << 3
	OperationWrite           Operations = 1 << 4
	OperationCreate          Operations = 1 << 5
	OperationDelete          Operations = 1 << 6
	OperationAlter           Operations = 1 << 7
	OperationDescribe        Operations = 1 << 8
	OperationDescribeConfigs Operations = 1 << 10
	OperationAlterConfigs    Operations = 1 << 11
)

var operationNames = []struct {
	bit  Operations
	name string
}{
	{OperationRead, "Read"},
	{OperationWrite, "Write"},
	{OperationCreate, "Create"},
	{OperationDelete, "Delete"},
	{OperationAlter, "Alter"},
	{OperationDescribe, "Describe"},
	{OperationDescribeConfigs, "DescribeConfigs"},
	{OperationAlterConfigs, "AlterConfigs"},
}

// String lists the operations by Kafka's names.
func (o Operations) String() string {
	var names []string
	for _, n := range operationNames {
		if o&n.bit != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ", ")
}

// TopicRights are what the user may do with one topic.
type TopicRights struct {
	Name    string
	Missing bool // there is no such topic, or the user may not know of it
	Operations
}

// Rights are what the user may do.
type Rights struct {
	// Open says that the brokers keep no lists of rights, so that everybody may
	// do everything; all other fields are then empty.
	Open   bool
	Topics []TopicRights // in the order asked for
	Group  Operations
}

// Rights asks the brokers what the user may do with the topics and with the
// configured group. It changes nothing.
func (c *Client) Rights(ctx context.Context, topics ...string) (Rights, error) {
	open, err := c.withoutRights(ctx)
	if err != nil || open {
		return Rights{Open: open}, err
	}
	var out Rights
	m, err := c.metadata(ctx, true, topics)
	if err != nil {
		return out, err
	}
	for _, name := range topics {
		r := TopicRights{Name: name, Missing: true}
		if t := m.Topic(name); t != nil {
			// What is not told is the least number, which has no bit of ours.
			r.Missing, r.Operations = t.Err != nil, t.Operations
		}
		out.Topics = append(out.Topics, r)
	}
	out.Group, err = c.groupRights(ctx)
	return out, err
}

// withoutRights asks for lists of rights. Whoever may not read them gets to
// know that there are some.
func (c *Client) withoutRights(ctx context.Context) (open bool, err error) {
	err = c.call(ctx, -1, request{protocol.DescribeAcls, 1, false}, c.cfg.RequestTimeout, func(e *encoder) {
		const any, none = 1, -1
		e.i8(any) // kind of resource
		e.i16(none)
		e.i8(any) // kind of pattern
		e.i16(none)
		e.i16(none)
		e.i8(any) // operation
		e.i8(any) // permission
	}, func(d *decoder) error {
		d.i32() // throttle
		return code(d.i16())
	})
	switch {
	case errors.Is(err, kafka.SecurityDisabled):
		return true, nil
	case errors.Is(err, kafka.ClusterAuthorizationFailed):
		return false, nil
	}
	return false, err
}

// groupRights are what the user may do with the group, 0 where it may not even
// know of it.
func (c *Client) groupRights(ctx context.Context) (Operations, error) {
	node, err := c.coordinator(ctx)
	if errors.Is(err, kafka.GroupAuthorizationFailed) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var out Operations
	err = c.call(ctx, node, request{protocol.DescribeGroups, 3, false}, c.cfg.RequestTimeout, func(e *encoder) {
		e.array(1)
		e.str(c.cfg.Group)
		e.boolean(true)
	}, func(d *decoder) error {
		out, err = decodeGroupRights(d)
		return err
	})
	if errors.Is(err, kafka.GroupAuthorizationFailed) {
		return 0, nil
	}
	return out, err
}

func decodeGroupRights(d *decoder) (out Operations, err error) {
	d.i32() // throttle
	for n := d.array(); n > 0 && d.err == nil; n-- {
		if err := code(d.i16()); err != nil {
			return 0, err
		}
		for range 4 { // id, state, kind of protocol, protocol
			d.str()
		}
		for n := d.array(); n > 0 && d.err == nil; n-- {
			for range 3 { // member, client, host
				d.str()
			}
			for range 2 { // metadata, assignment
				d.discard(max(0, d.bytes()))
			}
		}
		out = Operations(d.i32())
	}
	return out, d.err
}

// coordinator asks who coordinates the group. A cluster that never had one is
// given some seconds to choose.
func (c *Client) coordinator(ctx context.Context) (node int32, err error) {
	for attempt := 1; ; attempt++ {
		err = c.call(ctx, -1, request{protocol.FindCoordinator, 1, false}, c.cfg.RequestTimeout, func(e *encoder) {
			e.str(c.cfg.Group)
			e.i8(0) // a group
		}, func(d *decoder) error {
			d.i32() // throttle
			if err := code(d.i16()); err != nil {
				return err
			}
			d.str() // message
			node = d.i32()
			d.str() // host
			d.i32() // port
			return d.err
		})
		if attempt == 10 || !errors.Is(err, kafka.GroupCoordinatorNotAvailable) {
			break
		}
		sleep(ctx, 300*time.Millisecond, nil)
	}
	if err != nil {
		return 0, fmt.Errorf("looking for the coordinator of group %s: %w", c.cfg.Group, err)
	}
	return node, nil
}
