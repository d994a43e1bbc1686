package jobspec

import (
	"fmt"
	"math/big"
	"net"

	"github.com/apparentlymart/go-cidr/cidr"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

func networkFunctions() map[string]entry {
	return map[string]entry{
		"cidrhost":    {function: cidrHostFunction},
		"cidrnetmask": {function: mapText(cidrNetmask)},
		"cidrsubnet":  {function: cidrSubnetFunction},
		"cidrsubnets": {function: cidrSubnetsFunction},
	}
}

var cidrHostFunction = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "prefix", Type: cty.String}, {Name: "hostnum", Type: cty.Number}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		network, err := parseNetwork(args[0].AsString())
		if err != nil {
			return cty.NilVal, function.NewArgError(0, err)
		}
		num, err := wholeNumber(args[1])
		if err != nil {
			return cty.NilVal, function.NewArgError(1, err)
		}
		ip, err := cidr.HostBig(network, num)
		if err != nil {
			return cty.NilVal, err
		}
		return cty.StringVal(ip.String()), nil
	},
})

func cidrNetmask(prefix string) (string, error) {
	network, err := parseNetwork(prefix)
	if err != nil {
		return "", err
	}
	if network.IP.To4() == nil {
		return "", fmt.Errorf("IPv6 addresses cannot have a netmask: %s", prefix)
	}
	return net.IP(network.Mask).String(), nil
}

var cidrSubnetFunction = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "prefix", Type: cty.String}, {Name: "newbits", Type: cty.Number}, {Name: "netnum", Type: cty.Number}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		network, err := parseNetwork(args[0].AsString())
		if err != nil {
			return cty.NilVal, function.NewArgError(0, err)
		}
		bits, err := newBits(args[1])
		if err != nil {
			return cty.NilVal, function.NewArgError(1, err)
		}
		num, err := wholeNumber(args[2])
		if err != nil {
			return cty.NilVal, function.NewArgError(2, err)
		}
		subnet, err := cidr.SubnetBig(network, bits, num)
		if err != nil {
			return cty.NilVal, err
		}
		return cty.StringVal(subnet.String()), nil
	},
})

// cidrSubnetsFunction lays subnets of the given sizes one after the other.
var cidrSubnetsFunction = function.New(&function.Spec{
	Params:   []function.Parameter{{Name: "prefix", Type: cty.String}},
	VarParam: &function.Parameter{Name: "newbits", Type: cty.Number},
	Type:     function.StaticReturnType(cty.List(cty.String)),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		network, err := parseNetwork(args[0].AsString())
		if err != nil {
			return cty.NilVal, function.NewArgError(0, err)
		}
		if len(args) == 1 {
			return cty.ListValEmpty(cty.String), nil
		}
		ones, _ := network.Mask.Size()
		var subnets []cty.Value
		var last *net.IPNet
		for i, arg := range args[1:] {
			bits, err := newBits(arg)
			if err != nil {
				return cty.NilVal, function.NewArgError(i+1, err)
			}
			if last, err = nextSubnet(network, last, ones+bits); err != nil {
				return cty.NilVal, function.NewArgError(i+1, err)
			}
			subnets = append(subnets, cty.StringVal(last.String()))
		}
		return cty.ListVal(subnets), nil
	},
})

func nextSubnet(network, last *net.IPNet, ones int) (*net.IPNet, error) {
	if _, size := network.Mask.Size(); ones > size {
		return nil, fmt.Errorf("there are not enough bits in %s for that", network)
	}
	if last == nil {
		_, size := network.Mask.Size()
		return &net.IPNet{IP: network.IP, Mask: net.CIDRMask(ones, size)}, nil
	}
	next, full := cidr.NextSubnet(last, ones)
	if full || !network.Contains(next.IP) {
		return nil, fmt.Errorf("there is not enough room in %s", network)
	}
	return next, nil
}

func parseNetwork(s string) (*net.IPNet, error) {
	_, network, err := net.ParseCIDR(s)
	if err != nil {
		return nil, fmt.Errorf("invalid CIDR expression: %w", err)
	}
	return network, nil
}

func wholeNumber(v cty.Value) (*big.Int, error) {
	n, accuracy := v.AsBigFloat().Int(nil)
	if accuracy != big.Exact {
		return nil, fmt.Errorf("a whole number is required")
	}
	return n, nil
}

func newBits(v cty.Value) (int, error) {
	n, err := wholeNumber(v)
	if err != nil {
		return 0, err
	}
	if !n.IsInt64() || n.Int64() < 1 || n.Int64() > 128 {
		return 0, fmt.Errorf("the number of bits must be from 1 to 128")
	}
	return int(n.Int64()), nil
}
